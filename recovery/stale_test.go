// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"errors"
	"testing"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

var errDown = errors.New("the bucket is down")

// The table of a pending operation is gone by the time that somebody looks. The
// intent goes, with one row, however often its deletion fails.
func TestAnIntentOfATableThatIsGone(t *testing.T) {
	contract.Row(t, 92)
	w, op := confirmed(t)
	m, err := w.manifest(w.disk)
	must(t, err)
	process := manifest.ProcessID(w.newID())
	e, err := m.Register(ctx(t), "rival", process, manifest.Epoch{})
	must(t, err)
	_, err = m.Publish(ctx(t), manifest.Publication{
		By: manifest.Publisher{Role: manifest.RoleWriter, Process: process, Writer: "rival", Epoch: e},
		Entries: []manifest.Entry{{Kind: manifest.KindPublish, Operation: "DROP", Writer: "rival", Epoch: e, Base: m.View().Version,
			Tables: []manifest.Change{{Table: "a", Expected: m.View().Ref("a")}}}},
	})
	must(t, err)
	for range 2 {
		b := fault.Wrap(w.disk)
		b.On(fault.Delete, recovery.Prefix).From(1).Fail(errDown)
		if _, err := w.recoverAll(b, ended); !errors.Is(err, errDown) {
			t.Fatalf("%v", err)
		}
	}
	reps, err := w.recoverAll(w.disk, ended)
	must(t, err)
	rows := w.rows(op)
	if !reps[0].Complete || len(rows) != 1 || rows[0].Kind != audit.RolledBack || rows[0].Reason != string(recovery.ReasonPinsMoved) {
		t.Fatalf("%+v, rows %+v", reps[0], rows)
	}
	if left := w.keys(recovery.Prefix); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	// Others go on, also with a table of that name.
	wr, err := w.writer(w.disk, "next")
	must(t, err)
	_, err = wr.Commit(ctx(t), checkpoint(put(w.disk, "a", "again"), put(w.disk, "b", "next")))
	must(t, err)
	if w.content(w.state(), "a") != "again" {
		t.Error("the next operation is not there")
	}
}

// A writer hears nothing of its confirmation and none of its deletes lands, but its
// publication does. What it leaves looks like an operation that was never finished,
// beside its own commit; by the time that somebody looks, others have gone on.
func TestAnIntentBesideItsOwnCommit(t *testing.T) {
	contract.Row(t, 94)
	for _, lost := range []string{"nothing", "its confirmation"} {
		w := prepared(onMemory(t))
		b := fault.Wrap(w.disk)
		b.On(fault.PutIfAbsent, recovery.Prefix).Nth(2).LoseAnswer()
		b.On(fault.Delete, recovery.Prefix).From(1).Fail(errDown)
		c := commit(w, b, scenarios[1])
		must(t, c.err)
		b.VerifyFired(t)
		if lost != "nothing" { // deleted, and the delete of the sidecar was lost
			must(t, w.disk.Delete(ctx(t), recovery.ConfirmedKey(c.op)))
		}
		wr, err := w.writer(w.disk, "other")
		must(t, err)
		_, err = wr.Commit(ctx(t), checkpoint(put(w.disk, "elsewhere", "later")))
		must(t, err)
		version := w.state().Version
		reps, err := w.recoverAll(w.disk, ended)
		must(t, err)
		rows := w.rows(c.op)
		if v := reps[0].Verdict; v.Decision != recovery.Converge || !reps[0].Complete || len(rows) != 1 || rows[0].Kind != audit.RolledForward {
			t.Fatalf("without %s: %+v, rows %+v", lost, reps[0], rows)
		}
		st := w.state()
		if st.Version != version || w.content(st, "elsewhere") != "later" || w.content(st, "a") != "new" || len(w.keys(recovery.Prefix)) != 0 {
			t.Errorf("without %s: version %d, was %d; left %v", lost, st.Version, version, w.keys(recovery.Prefix))
		}
	}
}

// An operation that cannot be is refused before it is announced: nothing of it is
// anywhere, and the next one goes through.
func TestWhatCannotBeIsRefusedBeforeItIsArmed(t *testing.T) {
	contract.Row(t, 98)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	wr, err := w.writer(b, "w")
	must(t, err)
	before := b.DurableWrites()
	for name, op := range map[string]recovery.Operation{
		"an unknown kind":             {Kind: "future", Changes: []recovery.Change{put(b, "a", "new")}},
		"no table":                    checkpoint(),
		"a table twice":               checkpoint(put(b, "a", "new"), put(b, "a", "newer")),
		"a table without a name":      checkpoint(put(b, "", "new")),
		"a name that no object has":   checkpoint(put(b, "../manifest", "new")),
		"the drop of no table":        checkpoint(drop("nowhere")),
		"one that cannot be, and one": checkpoint(put(b, "a", "new"), drop("nowhere")),
	} {
		if _, err := wr.Commit(ctx(t), op); err == nil || errors.Is(err, recovery.ErrFailed) || errors.Is(err, manifest.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := b.DurableWrites() - before; n != 0 || len(w.keys(recovery.Prefix)) != 0 || len(wr.Open()) != 0 {
		t.Errorf("%d writes, left %v, open %v", n, w.keys(recovery.Prefix), wr.Open())
	}
	_, err = wr.Commit(ctx(t), checkpoint(put(b, "a", "new")))
	must(t, err)
}

// What is no answer about a table is no decision: it comes back as it is, and the
// intent stays.
func TestOtherErrorsComeBackAsTheyAre(t *testing.T) {
	contract.Row(t, 78)
	for _, c := range []struct {
		name   string
		verb   fault.Verb
		prefix string
		cause  error
	}{
		{"the sidecar cannot be read", fault.Get, recovery.Prefix, errDown},
		{"a table cannot be looked at", fault.GetRange, manifest.TablePrefix, objstore.ErrAccessDenied},
		{"the outcome cannot be put", fault.PutIfAbsent, manifest.Prefix, objstore.ErrAccessDenied},
		{"the row cannot be put", fault.PutIfAbsent, "audit/", objstore.ErrAccessDenied},
		{"the sidecar cannot be deleted", fault.Delete, recovery.Prefix, errDown},
	} {
		w, op := confirmed(t)
		b := fault.Wrap(w.disk)
		b.On(c.verb, c.prefix).From(1).Fail(c.cause)
		if _, err := w.recoverAll(b, ended); !errors.Is(err, c.cause) {
			t.Errorf("%s: %v", c.name, err)
		}
		b.VerifyFired(t)
		if len(w.keys(recovery.SidecarKey(op))) == 0 {
			t.Errorf("%s: the intent is gone", c.name)
		}
		reps, err := w.recoverAll(w.disk, ended)
		must(t, err)
		if rows := w.rows(op); !reps[0].Complete || len(rows) != 1 || rows[0].Kind != audit.RolledForward {
			t.Errorf("%s, and then: %+v, %+v", c.name, reps[0], rows)
		}
	}
}
