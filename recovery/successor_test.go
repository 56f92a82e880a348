// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// A process was seen to die. Its successor has armed an operation of its own
// meanwhile: the death says nothing about that one.
func TestADeathEndsNoSuccessorsEpoch(t *testing.T) {
	contract.Row(t, 130)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	successor, err := w.writer(b, "w")
	must(t, err)
	gate := b.On(fault.PutIfAbsent, manifest.TablePrefix).Nth(1).ParkBefore()
	done := make(chan error, 1)
	go func() {
		_, err := successor.Commit(ctx(t), scenarios[1].op(b))
		done <- err
	}()
	_, err = gate.Await(ctx(t))
	must(t, err)

	before := w.state().Version
	reps, err := w.recoverAll(w.disk, recovery.RollForwardOnly{EndEpoch: true, Process: "the-dead-one"})
	must(t, err)
	if v := reps[0].Verdict; v.Decision != recovery.Defer || v.Reason != recovery.ReasonWriterLive || w.state().Version != before {
		t.Errorf("the successor's operation was touched: %+v", reps[0])
	}
	reps, err = w.recoverAll(w.disk, recovery.RollForwardOnly{EndEpoch: true, Process: successor.Epoch().Process})
	must(t, err)
	if !reps[0].Complete || !reps[0].Fenced || reps[0].Class != recovery.ClassNotApplied {
		t.Errorf("its own death: %+v", reps[0])
	}
	gate.Release()
	<-done
}

func TestLitterIsDeletedOnlyWhenTheSidecarIsGone(t *testing.T) {
	contract.Row(t, 81)
	w := prepared(onMemory(t))
	const op = "01LITTER"
	confirmed := recovery.ConfirmedKey(op)
	put := func(key string) {
		res, err := w.disk.PutIfAbsent(ctx(t), key, []byte("x"), "a")
		must(t, err)
		if res.Outcome != objstore.Created {
			t.Fatal(res.Outcome)
		}
	}
	put(confirmed)
	r, err := w.recoverer(w.disk)
	must(t, err)
	lone := recovery.Listed{Key: recovery.SidecarKey(op), Companions: []string{confirmed}, Lone: true}

	put(recovery.SidecarKey(op)) // the listing was outdated
	must(t, r.Litter(ctx(t), lone))
	if n := len(w.keys(confirmed)); n != 1 {
		t.Error("the companion of a sidecar that is there was deleted")
	}
	must(t, w.disk.Delete(ctx(t), recovery.SidecarKey(op)))
	must(t, r.Litter(ctx(t), recovery.Listed{Key: lone.Key, Companions: lone.Companions}))
	if n := len(w.keys(confirmed)); n != 1 {
		t.Error("a companion was deleted although its sidecar was listed")
	}
	must(t, r.Litter(ctx(t), lone))
	if left := w.keys(recovery.Prefix); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}
