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

// A process sleeps before its Arm lands. Its successor registers, finds nothing
// pending and builds on the pins. The sleeper wakes: its operation must not go
// forward behind the successor's back, so it applies and confirms nothing.
func TestArmedAfterTheSuccessorLooked(t *testing.T) {
	contract.Row(t, 159)
	sc := scenarios[1]
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	sleeper, err := w.writer(b, "w")
	must(t, err)
	gate := b.On(fault.PutIfAbsent, recovery.Prefix).ParkBefore()
	done := make(chan error, 1)
	go func() {
		_, err := sleeper.Commit(ctx(t), sc.op(b))
		done <- err
	}()
	_, err = gate.Await(ctx(t))
	must(t, err)

	_, err = w.writer(w.disk, "w")
	must(t, err)
	if pending, err := recovery.List(ctx(t), w.disk); err != nil || len(pending) != 0 {
		t.Fatalf("the successor sees %v, %v", pending, err)
	}
	before := w.state().Tables
	versions := len(w.keys(manifest.TablePrefix))

	gate.Release()
	if err := <-done; !errors.Is(err, manifest.ErrFenced) || !errors.Is(err, manifest.ErrUnknown) {
		t.Fatalf("the sleeper heard %v", err)
	}
	if now := len(w.keys(manifest.TablePrefix)); now != versions {
		t.Fatalf("%d table versions became %d", versions, now)
	}
	reps, err := w.recoverAll(w.disk, recovery.RollForwardOnly{})
	must(t, err)
	if len(reps) != 1 || reps[0].Verdict.Decision != recovery.Abandon || !reps[0].Complete {
		t.Fatalf("%+v", reps)
	}
	for table, pin := range w.state().Tables {
		if before[table] != pin {
			t.Fatalf("table %s moved from %v to %v", table, before[table], pin)
		}
	}
}
