// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/test/contract"
)

// halfSeen leaves an operation of a writer without a process, half of which its readers
// see.
func (w *world) halfSeen() manifest.OperationID {
	w.Helper()
	ctx := context.Background()
	commit := func(content string, b *fault.Bucket) (manifest.OperationID, error) {
		m, err := manifest.Open(ctx, b, manifest.Options{NewID: newID})
		if err != nil {
			return "", err
		}
		lake := recovery.NewWriter(m, recovery.WriterOptions{ID: "lake", Process: manifest.ProcessID(newID()), NewID: newID, Await: 10 * time.Millisecond})
		if err := lake.Register(ctx); err != nil {
			return "", err
		}
		op := recovery.Operation{Kind: recovery.KindForeign}
		for _, t := range []manifest.TableID{"x", "y"} {
			op.Changes = append(op.Changes, recovery.Change{Table: t, Write: commitlog.New(b, objstore.Patience{Bound: 10 * time.Millisecond}).Write(content)})
		}
		r, err := lake.Commit(ctx, op)
		return r.Operation, err
	}
	if _, err := commit("old", fault.Wrap(w.root)); err != nil {
		w.Fatal(err)
	}
	b := fault.Wrap(w.root)
	b.On(fault.PutIfAbsent, commitlog.Prefix).Nth(2).Crash(fault.Before)
	op, err := commit("new", b)
	if err == nil {
		w.Fatal("it did not die")
	}
	return op
}

// undo rolls back what pends, as an operator that may do everything.
func (w *world) undo(b objstore.Bucket) error {
	ctx := context.Background()
	m, err := manifest.Open(ctx, b, manifest.Options{NewID: newID})
	if err != nil {
		return err
	}
	trail, err := audit.Open(b, "main", w.keys, audit.Options{Recoverer: "operator"})
	if err != nil {
		return err
	}
	r := recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: "operator", Formats: map[recovery.WriterKind]recovery.Format{
		recovery.KindForeign: commitlog.New(b, objstore.Patience{Bound: time.Second}),
	}})
	listed, err := recovery.List(ctx, b)
	for _, l := range listed {
		rep, rerr := r.Recover(ctx, l.Key, recovery.Exclusive{
			Forward: recovery.RollForwardOnly{EndEpoch: true}, Policy: recovery.Automatic, Check: func(context.Context) error { return nil },
		})
		if rerr == nil && !rep.Complete {
			rerr = errors.New(l.Key + " stays")
		}
		err = errors.Join(err, rerr)
	}
	return err
}

// While another's operation is undone nobody publishes, and everybody writes: what is
// acknowledged meanwhile goes out when it is undone. However long that takes, and
// whether or not the one who undoes it lives.
func TestARollBackHoldsNoWriterUp(t *testing.T) {
	contract.Row(t, 138)
	w := newWorld(t)
	p := w.start(func(o *store.Options) { o.Park = time.Millisecond })
	p.must(put("t", "k", "1"))
	op := w.halfSeen()
	b := fault.Wrap(w.root)
	gate := b.On(fault.PutIfAbsent, recovery.PlanKey(op)).ParkBefore()
	undone := make(chan error, 1)
	go func() { undone <- w.undo(b) }()
	if _, err := gate.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	owner := "roll-back/" + string(op)
	if l := w.state().Lock; l == nil || l.Owner != owner || l.Mode != manifest.Frozen {
		t.Fatalf("the lock: %+v", l)
	}
	p.Refresh()
	if st := p.await("it knows of the lock", func(st control.Status) bool { return st.Lock == owner }); st.State != control.Serving {
		t.Errorf("under the lock: %+v", st)
	}
	p.must(put("t", "k", "2"), get("t", "k"))
	if body := strings.TrimSpace(p.call("GET", "/v1/lock", "").Body.String()); body != `{"held":false}` {
		t.Errorf("a writer is told %s", body)
	}
	var locked *manifest.LockedError
	if _, err := p.Checkpoint(t.Context()); !errors.As(err, &locked) || locked.Lock.Owner != owner {
		t.Errorf("a checkpoint under the lock: %v", err)
	}
	p.kill()
	q := w.start(func(o *store.Options) { o.Park = time.Millisecond })
	q.await("another process knows, too", func(st control.Status) bool { return st.Lock == owner })
	q.must(put("t", "l", "3"))
	gate.Release()
	if err := <-undone; err != nil {
		t.Fatal(err)
	}
	q.Refresh()
	q.await("the lock has ended", func(st control.Status) bool { return st.Lock == "" })
	q.checkpoint()
	w.same("after the roll-back", q.rows(), content{"t": {"k": `{"v":"2"}`, "l": `{"v":"3"}`}})
	if st := q.Status(); st.Published != st.Durable || st.Durable != 3 {
		t.Errorf("what was acknowledged is not in the root: %+v", st)
	}
	if o, _ := w.state().Outcome(op); o.Kind != manifest.KindRollBack {
		t.Errorf("%+v", o)
	}
	w.rest()
}

// What holds writers: every lock but those of roll-backs.
func TestWhichLocksHoldWriters(t *testing.T) {
	contract.Row(t, 138)
	for owner, holds := range map[string]bool{"M1": true, "roll-back": true, "": true, "roll-back/01": false} {
		if got := recovery.HoldsWriters(&manifest.Lock{Owner: owner}); got != holds {
			t.Errorf("%q: %v", owner, got)
		}
	}
	if recovery.HoldsWriters(nil) {
		t.Error("there is no lock")
	}
}
