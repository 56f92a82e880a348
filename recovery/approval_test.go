// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"errors"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
	"github.com/salvor-io/salvor/test/contract"
)

// halfSeen is a root whose writer died between the first and the second of three
// tables that readers see.
func halfSeen(t *testing.T) (*world, committed) {
	w := preparedVisible(t)
	b := fault.Wrap(w.disk)
	b.On(fault.PutIfAbsent, commitlog.Prefix).Nth(2).Crash(fault.Before)
	c := crashVisible(w, b)
	b.VerifyFired(t)
	if w.head("x") != "new" || w.head("y") != "old" {
		t.Fatal("the crash was elsewhere")
	}
	return w, c
}

// Who may undo what, by authority and policy: one table.
func TestWhatIsUndoneForWhom(t *testing.T) {
	contract.Row(t, 85, 123, 132)
	var hash recovery.PlanHash
	{
		w, _ := halfSeen(t)
		reps, err := w.recoverAll(w.disk, ended)
		must(t, err)
		rep := reps[0]
		if rep.Verdict.Decision != recovery.RollBack || rep.Verdict.Reason != recovery.ReasonVisible || rep.Plan == nil || rep.PlanHash == "" {
			t.Fatalf("%+v", rep)
		}
		hash = rep.PlanHash
	}
	approved := func(p recovery.Policy, h recovery.PlanHash) recovery.Authority {
		return recovery.Exclusive{Forward: ended, Check: leads, Policy: p, Approved: h}
	}
	for _, c := range []struct {
		name string
		a    recovery.Authority
		done bool
	}{
		{"forward only", ended, false},
		{"exclusive, no policy", approved("", hash), false},
		{"exclusive, Never", approved(recovery.Never, hash), false},
		{"exclusive, OnApproval, nothing approved", approved(recovery.OnApproval, ""), false},
		{"exclusive, OnApproval, another plan approved", approved(recovery.OnApproval, "sha256:other"), false},
		{"exclusive, OnApproval, approved", approved(recovery.OnApproval, hash), true},
		{"exclusive, Automatic", approved(recovery.Automatic, ""), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, com := halfSeen(t)
			b := fault.Wrap(w.disk)
			reps, err := w.recoverAll(b, c.a)
			must(t, err)
			rep := reps[0]
			if rep.PlanHash != hash {
				t.Errorf("the same state has another plan: %s, was %s", rep.PlanHash, hash)
			}
			if c.done {
				if !rep.Complete || rep.NeedsApproval || finishedVisible(t, w, com, c.name) {
					t.Errorf("%+v", rep)
				}
				return
			}
			if rep.Complete || !rep.NeedsApproval || b.DurableWrites() != 0 {
				t.Errorf("%d writes, %+v", b.DurableWrites(), rep)
			}
			if w.head("x") != "new" || len(w.rows(com.op)) != 0 {
				t.Error("something was done without approval")
			}
		})
	}
}

// What was approved is one state. Another one is not undone on its strength.
func TestAChangedStateNeedsAnotherApproval(t *testing.T) {
	contract.Row(t, 132)
	w, com := halfSeen(t)
	reps, err := w.recoverAll(w.disk, ended)
	must(t, err)
	approved := recovery.Exclusive{Forward: ended, Check: leads, Policy: recovery.OnApproval, Approved: reps[0].PlanHash}

	// A late effect of the same operation lands.
	s := reps[0].Sidecar
	late := s.Tables[1]
	_, err = w.log(w.disk).Write("new")(ctx(t), recovery.TableVersion{Table: late.Table, Number: late.Number, Operation: s.Operation})
	must(t, err)
	before := w.state().Version
	reps, err = w.recoverAll(w.disk, approved)
	must(t, err)
	if !reps[0].NeedsApproval || reps[0].PlanHash == approved.Approved || w.head("y") != "new" || w.state().Version != before {
		t.Fatalf("%+v", reps[0])
	}
	approved.Approved = reps[0].PlanHash

	// What belongs to others is no part of it.
	wr, err := w.writer(w.disk, "rival")
	must(t, err)
	_, err = wr.Commit(ctx(t), checkpoint(put(w.disk, "elsewhere", "x")))
	must(t, err)
	reps, err = w.recoverAll(w.disk, approved)
	must(t, err)
	if !reps[0].Complete {
		t.Fatalf("%+v", reps[0])
	}
	finishedVisible(t, w, com, "approved again")
}

// The state changes between the look and the lock: what is seen under the lock counts.
func TestWhatIsSeenUnderTheLockCounts(t *testing.T) {
	contract.Row(t, 122, 132)
	w, com := halfSeen(t)
	reps, err := w.recoverAll(w.disk, ended)
	must(t, err)
	approved := recovery.Exclusive{Forward: ended, Check: leads, Policy: recovery.OnApproval, Approved: reps[0].PlanHash}
	s := reps[0].Sidecar
	b := fault.Wrap(w.disk)
	locked := false
	b.OnCall(func(c fault.Call) {
		if st := w.state(); !locked && st.Lock != nil {
			locked = true
			_, err := w.log(w.disk).Write("new")(ctx(t), recovery.TableVersion{Table: "y", Number: s.Tables[1].Number, Operation: s.Operation})
			must(t, err)
		}
	})
	reps, err = w.recoverAll(b, approved)
	must(t, err)
	if !locked || !reps[0].NeedsApproval || reps[0].PlanHash == approved.Approved {
		t.Fatalf("locked %v: %+v", locked, reps[0])
	}
	if st := w.state(); st.Lock != nil || len(w.keys(recovery.PlanKey(com.op))) != 0 || w.head("x") != "new" || w.head("y") != "new" {
		t.Fatalf("lock %+v, x %s, y %s", st.Lock, w.head("x"), w.head("y"))
	}
}

// Each part of what makes an undo safe goes away before each of its steps. Nothing
// is undone after that, and whoever has it again finishes.
func TestThePermitIsAskedBeforeEveryStep(t *testing.T) {
	contract.Row(t, 86, 123)
	asked := 0
	dry, com := halfSeen(t)
	counting := undoing
	counting.Check = func(context.Context) error { asked++; return nil }
	_, err := dry.recoverAll(dry.disk, counting)
	must(t, err)
	finishedVisible(t, dry, com, "dry")
	if asked < 5 { // the decision, three restores, the end
		t.Fatalf("asked %d times", asked)
	}
	errGone := errors.New("the Lease has another holder")
	losses := map[string]func(w *world) error{
		"the leadership": func(*world) error { return errGone },
		"the recoverer's epoch": func(w *world) error {
			m, err := w.manifest(w.disk)
			must(w.t, err)
			_, err = m.Register(ctx(w.t), manifest.Recoverer, manifest.ProcessID(w.newID()), manifest.Epoch{})
			return err
		},
		"the lock": func(w *world) error {
			m, err := w.manifest(w.disk)
			must(w.t, err)
			_, err = m.Release(ctx(w.t), manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}, m.View().Lock.Owner)
			return err
		},
	}
	for name, lose := range losses {
		for n := 1; n <= asked; n++ {
			w, com := halfSeen(t)
			calls, writes := 0, 0
			b := fault.Wrap(w.disk)
			ex := undoing
			ex.Check = func(context.Context) error {
				if calls++; calls != n {
					return nil
				}
				writes = b.DurableWrites()
				return lose(w)
			}
			_, err := w.recoverAll(b, ex)
			if !errors.Is(err, recovery.ErrNotExclusive) {
				t.Fatalf("%s is lost before step %d: %v", name, n, err)
			}
			// The lock may be given back, and that is all.
			if more := b.DurableWrites() - writes; more > 1 || more == 1 && w.state().Lock != nil {
				t.Errorf("%s is lost before step %d: %d more writes", name, n, more)
			}
			_, err = w.recoverAll(w.disk, undoing)
			must(t, err)
			if finishedVisible(t, w, com, name) {
				t.Errorf("%s is lost before step %d: it went forward", name, n)
			}
		}
	}
}

// Without a permit a format writes nothing.
func TestNoPermitNoRestore(t *testing.T) {
	contract.Row(t, 123)
	w, com := halfSeen(t)
	before := w.keys("")
	for _, p := range []*recovery.Permit{nil, {}} {
		_, err := w.log(w.disk).Restore(ctx(t), p, recovery.Restore{
			Table: "x", Above: w.state().Ref("x"), Undo: com.op, Identity: "BACK", Pin: w.state().Tables["x"],
		})
		if !errors.Is(err, recovery.ErrNotExclusive) {
			t.Errorf("%v", err)
		}
	}
	if after := w.keys(""); len(after) != len(before) {
		t.Errorf("%v", after)
	}
}
