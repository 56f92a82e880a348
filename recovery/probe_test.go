// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// Looking writes nothing, whatever there is and with whose authority it looks; and it
// says what is done next, which is then what is done.
func TestLookingWritesNothing(t *testing.T) {
	contract.Row(t, 101, 102, 132)
	foreignStore := func(t *testing.T) *world {
		w, op := confirmed(t)
		raw, err := w.disk.Get(ctx(t), recovery.SidecarKey(op))
		must(t, err)
		s, err := recovery.DecodeSidecar(raw.Body)
		must(t, err)
		s.Store = "another-store"
		must(t, w.disk.Delete(ctx(t), recovery.SidecarKey(op)))
		must(t, w.disk.Delete(ctx(t), recovery.ConfirmedKey(op)))
		w.place(recovery.SidecarKey(op), mustEncode(t, "sidecar", s))
		return w
	}
	for _, c := range []struct {
		name   string
		make   func(t *testing.T) *world
		as     recovery.Authority
		want   recovery.Disposition
		tables string
		writes bool
	}{
		{"confirmed", func(t *testing.T) *world { w, _ := confirmed(t); return w }, ended, recovery.RollForwardRequired, "[a: Changed (Applied) b: Changed (Applied) c: Changed (Applied)]", true},
		{"armed", func(t *testing.T) *world { w, _ := armed(t); return w }, ended, recovery.RollForwardRequired, "[a: Unchanged (NotApplied) b: Unchanged (NotApplied) c: Unchanged (NotApplied)]", true},
		{"its writer lives", func(t *testing.T) *world { w, _ := armed(t); return w }, recovery.RollForwardOnly{}, recovery.Clean, "[a: Unchanged (NotApplied) b: Unchanged (NotApplied) c: Unchanged (NotApplied)]", false},
		{"half of it is seen", func(t *testing.T) *world { w, _ := halfSeen(t); return w }, undoing, recovery.NeedsCompensation, "[x: Changed (Applied) y: Unchanged (NotApplied) z: Unchanged (NotApplied)]", true},
		{"half of it is seen, and nobody may undo it", func(t *testing.T) *world { w, _ := halfSeen(t); return w }, ended, recovery.NeedsCompensation, "[x: Changed (Applied) y: Unchanged (NotApplied) z: Unchanged (NotApplied)]", false},
		{"another's commit", func(t *testing.T) *world { w, _ := halfSeen(t); intrude(w, w.disk, "x", "THEIRS"); return w }, undoing, recovery.Blocked, "[x: Changed (Buried) y: Unchanged (NotApplied) z: Unchanged (NotApplied)]", false},
		{"of another store", foreignStore, ended, recovery.Blocked, "[a: Changed (Applied) b: Changed (Applied) c: Changed (Applied)]", false},
		{"rubbish", func(t *testing.T) *world {
			w := prepared(onMemory(t))
			w.place("recovery/RUBBISH", []byte("?"))
			return w
		}, ended, recovery.Blocked, "[]", false},
		{"litter", func(t *testing.T) *world {
			w := prepared(onMemory(t))
			w.place("recovery/GONE.confirmed", []byte("?"))
			return w
		}, ended, recovery.Clean, "[]", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := c.make(t)
			b := fault.Wrap(w.disk)
			reps, err := w.recoverAll(b, recovery.Probe{As: c.as})
			must(t, err)
			if b.DurableWrites() != 0 {
				t.Errorf("%d durable writes", b.DurableWrites())
			}
			if got := reps[0].Disposition(nil); got != c.want || fmt.Sprint(reps[0].Tables) != c.tables {
				t.Errorf("%s %v, want %s %s", got, reps[0].Tables, c.want, c.tables)
			}
			done, err := w.recoverAll(b, c.as)
			must(t, err)
			if done[0].Verdict.Decision != reps[0].Verdict.Decision && done[0].Outcome == nil || done[0].PlanHash != reps[0].PlanHash {
				t.Errorf("said %+v, did %+v", reps[0], done[0])
			}
			if wrote := b.DurableWrites() > 0; wrote != c.writes || done[0].Complete != c.writes {
				t.Errorf("%d writes: %+v", b.DurableWrites(), done[0])
			}
		})
	}
}

// What cannot be read is not known, until it can be.
func TestALostAnswerIsUnknownUntilReadAgain(t *testing.T) {
	contract.Row(t, 102)
	w, op := confirmed(t)
	for prefix, verb := range map[string]fault.Verb{recovery.Prefix: fault.Get, manifest.TablePrefix: fault.GetRange} {
		b := fault.Wrap(w.disk)
		r, err := w.recoverer(b)
		must(t, err)
		b.On(verb, prefix).From(1).Fail(errDown)
		rep, err := r.Recover(ctx(t), recovery.SidecarKey(op), recovery.Probe{As: ended})
		if !errors.Is(err, errDown) || rep.Disposition(err) != recovery.Unknown {
			t.Errorf("%s: %v, %s", prefix, err, rep.Disposition(err))
		}
		if _, err := r.Recover(ctx(t), recovery.SidecarKey(op), ended); !errors.Is(err, errDown) {
			t.Errorf("%s: %v", prefix, err)
		}
		if len(w.keys(recovery.SidecarKey(op))) != 2 || len(w.rows(op)) != 0 { // with its confirmation
			t.Error("something was done")
		}
	}
	r, err := w.recoverer(w.disk)
	must(t, err)
	rep, err := r.Recover(ctx(t), recovery.SidecarKey(op), recovery.Probe{As: ended})
	if err != nil || rep.Disposition(err) != recovery.RollForwardRequired {
		t.Errorf("read again: %v, %s", err, rep.Disposition(err))
	}
}
