// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

// undoing is a recoverer that holds the lock of its own name, and an operation
// of writer w that is ended and pending.
type undoing struct {
	*root
	s  *manifest.Store
	by manifest.Publisher // the recoverer
	op manifest.Entry     // what would publish the operation
}

func newUndoing(t *testing.T) *undoing {
	u := &undoing{root: newRoot(t)}
	u.s = u.open(u.disk)
	w := u.writer(u.s, "w")
	first := move(u.s.View(), w, "FIRST", "a", "b")
	u.publish(t, first)
	u.op = move(u.s.View(), w, "OP", "a", "b").Entries[0]
	u.publish(t, manifest.Publication{By: operator, Entries: []manifest.Entry{manifest.Fence("w", w.Epoch)}})
	u.by = u.recoverer(u.s)
	_, err := u.s.Lock(t.Context(), u.by, u.terms("undo-OP", manifest.Frozen, time.Hour))
	must(t, err)
	return u
}

func (r *root) recoverer(s *manifest.Store) manifest.Publisher {
	by := r.writer(s, string(manifest.Recoverer))
	by.Role = manifest.RoleRecovery
	return by
}

func (u *undoing) publish(t *testing.T, p manifest.Publication) {
	t.Helper()
	_, err := u.s.Publish(t.Context(), p)
	must(t, err)
}

func (u *undoing) decision() manifest.Publication {
	return manifest.Publication{By: u.by, Entries: []manifest.Entry{{
		Kind: manifest.KindRollBack, Operation: "OP", Writer: u.op.Writer, Epoch: u.op.Epoch, Base: u.op.Base, OutcomeID: "BACK", LockOwner: "undo-OP",
	}}}
}

func (u *undoing) restoration() manifest.Publication {
	e := manifest.Entry{Kind: manifest.KindRestore, Operation: "OP", OutcomeID: "BACK", LockOwner: "undo-OP"}
	for _, c := range u.op.Tables {
		pin := u.s.View().Tables[c.Table]
		pin.Ref = manifest.Ref{Number: c.To.Number + 1, Operation: "BACK"}
		e.Tables = append(e.Tables, manifest.Change{Table: c.Table, Expected: c.Expected, To: &pin})
	}
	return manifest.Publication{By: u.by, Entries: []manifest.Entry{e}}
}

// The two publications of a roll-back, and that each is there once.
func TestARollBackIsDecidedAndThenEnds(t *testing.T) {
	contract.Row(t, 83)
	u := newUndoing(t)
	if _, err := u.s.Publish(t.Context(), u.restoration()); err == nil {
		t.Error("restored what nobody decided to undo")
	}
	u.publish(t, u.decision())
	before := u.s.View()
	if o, ok := before.Outcome("OP"); !ok || o.Kind != manifest.KindRollBack || o.Restored != 0 || o.By.Writer != manifest.Recoverer {
		t.Fatalf("%+v", o)
	}
	if before.Ref("a") != u.op.Tables[0].Expected {
		t.Error("the decision moved a table")
	}
	// Nobody publishes it any more, and a second decision finds the first.
	for _, kind := range []manifest.Kind{manifest.KindPublish, manifest.KindAbandon, manifest.KindRollBack} {
		p := u.decision()
		p.Entries[0].Kind = kind
		if _, err := u.s.Publish(t.Context(), p); !isDecided(err) {
			t.Errorf("%s after the decision: %v", kind, err)
		}
	}
	back := u.restoration()
	u.publish(t, back)
	st := u.open(u.disk).View()
	o, _ := st.Outcome("OP")
	if o.Kind != manifest.KindRollBack || o.Restored != st.Version {
		t.Errorf("%+v at %d", o, st.Version)
	}
	if want := (manifest.Ref{Number: 3, Operation: "BACK"}); st.Ref("a") != want || st.Ref("b") != want {
		t.Errorf("a %v, b %v, want %v", st.Ref("a"), st.Ref("b"), want)
	}
	if o, _ := before.Outcome("OP"); o.Restored != 0 {
		t.Error("a state that was handed out has changed")
	}
	if pub, err := u.s.Publish(t.Context(), back); err != nil || pub.Version != 0 {
		t.Errorf("again: %d, %v", pub.Version, err)
	}
}

func isDecided(err error) bool { _, ok := manifest.AsDecided(err); return ok }

// What undoes has to have an epoch that stands and the lock, at every step.
func TestWhatUndoesIsExclusive(t *testing.T) {
	contract.Row(t, 86, 121, 123)
	steps := map[string]func(u *undoing) manifest.Publication{
		"the decision": func(u *undoing) manifest.Publication { return u.decision() },
		"the end": func(u *undoing) manifest.Publication {
			u.publish(u.t, u.decision())
			return u.restoration()
		},
	}
	var fenced *manifest.FencedError
	var notHeld *manifest.NotHeldError
	cases := map[string]struct {
		spoil  func(t *testing.T, u *undoing, p *manifest.Publication)
		reason func(error) bool
	}{
		"no recoverer": {
			func(_ *testing.T, u *undoing, p *manifest.Publication) {
				p.By = manifest.Publisher{Role: manifest.RoleRecovery, Process: u.by.Process}
			},
			func(err error) bool { return errors.Is(err, manifest.ErrNotExclusive) },
		},
		"a newer recoverer": {
			func(_ *testing.T, u *undoing, _ *manifest.Publication) { u.recoverer(u.s) },
			func(err error) bool { return errors.As(err, &fenced) && fenced.Writer == manifest.Recoverer },
		},
		"no lock presented": {
			func(_ *testing.T, _ *undoing, p *manifest.Publication) { p.Entries[0].LockOwner = "" },
			func(err error) bool { return errors.Is(err, manifest.ErrNotExclusive) },
		},
		"the lock released": {
			func(t *testing.T, u *undoing, _ *manifest.Publication) {
				_, err := u.s.Release(t.Context(), u.by, "undo-OP")
				must(t, err)
			},
			func(err error) bool { return errors.As(err, &notHeld) },
		},
		"another's lock": {
			func(t *testing.T, u *undoing, _ *manifest.Publication) {
				_, err := u.s.Release(t.Context(), u.by, "undo-OP")
				must(t, err)
				_, err = u.s.Lock(t.Context(), operator, u.terms("M1", manifest.Draining, time.Hour))
				must(t, err)
			},
			func(err error) bool { return errors.As(err, &notHeld) && notHeld.Actual == "M1" },
		},
	}
	for step, publication := range steps {
		for name, c := range cases {
			t.Run(step+", "+name, func(t *testing.T) {
				u := newUndoing(t)
				p := publication(u)
				c.spoil(t, u, &p)
				before := u.s.View()
				if _, err := u.s.Publish(t.Context(), p); !c.reason(err) {
					t.Errorf("%v", err)
				}
				after := u.open(u.disk).View()
				a, _ := before.Outcome("OP")
				b, _ := after.Outcome("OP")
				if a != b || after.Ref("a") != before.Ref("a") {
					t.Errorf("%+v became %+v", a, b)
				}
			})
		}
	}
}

// The lock of a roll-back has one owner, whoever undoes: only the recoverer whose epoch
// stands takes it, extends it or gives it back. Others do so in their own name.
func TestAnOldRecovererTouchesNoLock(t *testing.T) {
	contract.Row(t, 86, 121, 123)
	u := newUndoing(t)
	successor := u.recoverer(u.s)
	held := *u.s.View().Lock
	for name, touch := range map[string]func(by manifest.Publisher) error{
		"take": func(by manifest.Publisher) error {
			_, err := u.s.Lock(t.Context(), by, u.terms("undo-OP", manifest.Frozen, time.Hour))
			return err
		},
		"extend": func(by manifest.Publisher) error {
			_, err := u.s.Extend(t.Context(), by, "undo-OP", held.Until.Add(time.Hour))
			return err
		},
		"release": func(by manifest.Publisher) error {
			_, err := u.s.Release(t.Context(), by, "undo-OP")
			return err
		},
	} {
		var fenced *manifest.FencedError
		if err := touch(u.by); !errors.As(err, &fenced) || fenced.Writer != manifest.Recoverer || fenced.Actual != successor.Epoch {
			t.Errorf("%s: %v", name, err)
		}
		if now := u.open(u.disk).View().Lock; now == nil || now.Owner != held.Owner || now.Version != held.Version || !now.Until.Equal(held.Until) {
			t.Fatalf("%s: the lock is %+v, it was %+v", name, now, held)
		}
	}
	if _, err := u.s.Release(t.Context(), successor, "undo-OP"); err != nil || u.s.View().Lock != nil {
		t.Errorf("the successor: %v, lock %+v", err, u.s.View().Lock)
	}
}

// An operation that somebody published is not undone, nor one whose writer's
// epoch stands.
func TestWhatIsNotUndone(t *testing.T) {
	contract.Row(t, 85, 122)
	u := newUndoing(t)
	forward := u.op
	forward.LockOwner = "undo-OP"
	u.publish(t, manifest.Publication{By: u.by, Entries: []manifest.Entry{forward}})
	if _, err := u.s.Publish(t.Context(), u.decision()); !isDecided(err) {
		t.Errorf("published: %v", err)
	}
	if _, err := u.s.Publish(t.Context(), u.restoration()); !isDecided(err) {
		t.Errorf("published: %v", err)
	}
	w := u.writer(u.s, "w")
	p := u.decision()
	p.Entries[0].Operation, p.Entries[0].Epoch = "OTHER", w.Epoch
	if _, err := u.s.Publish(t.Context(), p); !errors.Is(err, manifest.ErrWriterLive) {
		t.Errorf("a live writer's: %v", err)
	}
}

// The lock of a roll-back is given while there is something to undo, and to go on with
// what is half undone. Afterwards it is refused: who took it late, and died, would
// leave the store locked for nothing.
func TestTheLockOfARollBackThatIsOver(t *testing.T) {
	contract.Row(t, 84, 122)
	u := newUndoing(t)
	take := func() error {
		_, err := u.s.Publish(t.Context(), manifest.Publication{By: u.by, Entries: []manifest.Entry{{
			Kind: manifest.KindLock, Operation: u.op.Operation, Base: u.op.Base,
			Lock: &manifest.Lock{Owner: "undo-OP", Mode: manifest.Frozen, Since: u.s.View().Lock.Since, Until: u.s.View().Lock.Until},
		}}})
		return err
	}
	u.publish(t, u.decision())
	if err := take(); err != nil {
		t.Errorf("decided, not ended: %v", err)
	}
	u.publish(t, u.restoration())
	if err := take(); !isDecided(err) {
		t.Errorf("ended: %v", err)
	}
}

// A table that moved between the decision and its end stays as it is.
func TestARestoreOverAnothersCommitIsRefused(t *testing.T) {
	contract.Row(t, 88, 122)
	u := newUndoing(t)
	u.publish(t, u.decision())
	back := u.restoration()
	w := u.writer(u.s, "w2")
	other := move(u.s.View(), w, "OTHER", "b")
	other.Entries[0].LockOwner = "undo-OP"
	u.publish(t, other)
	var moved *manifest.ExpectedVersionMismatch
	if _, err := u.s.Publish(t.Context(), back); !errors.As(err, &moved) || moved.Table != "b" {
		t.Errorf("%v", err)
	}
	st := u.s.View()
	if o, _ := st.Outcome("OP"); o.Restored != 0 || st.Ref("a") != u.op.Tables[0].Expected || st.Ref("b").Operation != "OTHER" {
		t.Errorf("%+v, a %v, b %v", o, st.Ref("a"), st.Ref("b"))
	}
}
