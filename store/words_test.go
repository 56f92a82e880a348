// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// The status says at once what the process has in hand: before others can see it,
// and when it is done with it. Nobody waits for a heartbeat to be told.
func TestTheStatusIsNeverBehindWhatIsArmed(t *testing.T) {
	contract.Row(t, 130)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	arms := p.bucket.On(fault.PutIfAbsent, recovery.Prefix).ParkBefore()
	changed := p.Changed()
	done := make(chan recovery.Result, 1)
	go func() { done <- p.checkpoint() }()
	if _, err := arms.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	told(t, changed, "it is about to arm")
	st := p.Status()
	if len(st.Open) != 1 {
		t.Fatalf("about to arm, and the status says %+v", st)
	}
	cleans := p.bucket.On(fault.Delete, recovery.SidecarKey(manifest.OperationID(st.Open[0]))).ParkAfter()
	arms.Release()
	if _, err := cleans.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	if open := p.Status().Open; !slices.Equal(open, st.Open) {
		t.Fatalf("its delete has no answer yet, and the status says %q is open", open)
	}
	changed = p.Changed()
	cleans.Release()
	<-done
	told(t, changed, "it is done")
	if open := p.Status().Open; len(open) != 0 {
		t.Fatalf("it is done, and the status says %q is open", open)
	}
}

func told(t *testing.T, changed <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s, and nobody who watches the status is told", what)
	}
}
