// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"errors"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// Two who undo one operation have the lock in the same name. The first wakes when the
// second stands right before its decision: the first ends without a trace, and the
// second finds its lock.
func TestASuccessorKeepsItsLock(t *testing.T) {
	contract.Row(t, 84, 86, 121)
	w, com := halfSeen(t)
	type result struct {
		reps []recovery.Report
		err  error
	}
	undo := func() (*fault.Gate, chan result) {
		b := fault.Wrap(w.disk)
		gate := b.On(fault.PutIfAbsent, recovery.PlanKey(com.op)).ParkBefore()
		done := make(chan result, 1)
		go func() {
			reps, err := w.recoverAll(b, undoing)
			done <- result{reps, err}
		}()
		_, err := gate.Await(ctx(t))
		must(t, err)
		return gate, done
	}
	older, first := undo()
	newer, second := undo()
	older.Release()
	if got := <-first; !errors.Is(got.err, recovery.ErrNotExclusive) {
		t.Errorf("the older: %v", got.err)
	}
	if st := w.state(); st.Lock == nil || st.EndedLock != nil {
		t.Fatalf("the lock of the successor: %+v, ended %+v", st.Lock, st.EndedLock)
	}
	newer.Release()
	got := <-second
	must(t, got.err)
	if rep := got.reps[0]; !rep.Complete || rep.Verdict.Decision != recovery.RollBack && rep.Verdict.Decision != recovery.Converge {
		t.Errorf("the successor: %+v", rep)
	}
	if finishedVisible(t, w, com, "after both") {
		t.Error("it is there")
	}
	if o, _ := w.state().Outcome(com.op); o.Kind != manifest.KindRollBack || w.state().Lock != nil {
		t.Errorf("%+v, lock %+v", o, w.state().Lock)
	}
}
