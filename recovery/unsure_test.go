// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// A writer publishes, and cannot be told so. Before it asks again, recovery finishes
// the operation and the list of outcomes is cut off behind it. That the list does not
// have it proves nothing any more: the writer neither publishes it twice nor closes
// it, and tells its client what the publications say. (Found by the simulation,
// seed 144069 of its time.)
func TestAWriterThatIsUnsureLooksBehindTheList(t *testing.T) {
	contract.Row(t, 125, 161)
	for _, c := range []struct {
		name string
		op   func(objstore.Bucket) recovery.Operation
		// meanwhile is what others do after the operation was finished.
		meanwhile func(w *world, b *fault.Bucket, of manifest.Version)
		unknown   bool
	}{
		{"its tables are as it left them", scenarios[1].op, func(*world, *fault.Bucket, manifest.Version) {}, false},
		{"its tables are as it found them", func(b objstore.Bucket) recovery.Operation { return checkpoint(put(b, "c", "new")) }, func(w *world, _ *fault.Bucket, _ manifest.Version) {
			other, err := w.writer(w.disk, "other")
			must(t, err)
			_, err = other.Commit(ctx(t), checkpoint(drop("c")))
			must(t, err)
		}, false},
		{"the publications cannot be read", scenarios[1].op, func(_ *world, b *fault.Bucket, of manifest.Version) {
			b.On(fault.Get, manifest.Key(of)).From(2).Fail(objstore.ErrNotFound)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := prepared(onMemory(t))
			b := fault.Wrap(w.disk)
			m, err := w.manifest(b)
			must(t, err)
			var published manifest.Version
			wr := recovery.NewWriter(m, recovery.WriterOptions{
				ID: "w", Process: manifest.ProcessID(w.newID()), NewID: w.newID, Now: w.clock, Await: 2 * time.Second,
				Sleep: func(sctx context.Context, d time.Duration) error {
					if published == 0 {
						published = w.state().Version
						finishAndTrim(w)
						c.meanwhile(w, b, published)
					}
					return w.sleep(sctx, d)
				},
			})
			must(t, wr.Register(ctx(t)))
			// It is there, and whether it was collected cannot be told.
			gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkAfter()
			type told struct {
				recovery.Result
				error
			}
			done := make(chan told, 1)
			go func() {
				r, err := wr.Commit(ctx(t), c.op(b))
				done <- told{r, err}
			}()
			_, err = gate.Await(ctx(t))
			must(t, err)
			b.On(fault.List, "boundary/").Nth(1).LoseAnswer()
			gate.Release()
			got := <-done
			op := got.Operation
			switch {
			case published == 0:
				t.Fatal("the writer had its answer")
			case c.unknown && !errors.Is(got.error, manifest.ErrUnknown):
				t.Fatalf("told %v, and nobody can know", got.error)
			case !c.unknown && (got.error != nil || got.Version != published || got.ByRecovery):
				t.Fatalf("told %+v, %v; it was published in %d", got.Result, got.error, published)
			}
			if n := outcomesOf(w, op); n != 1 {
				t.Errorf("%d outcomes of %s", n, op)
			}
			if rows := w.rows(op); len(rows) != 1 || rows[0].Kind != audit.RolledForward {
				t.Errorf("rows %+v", rows)
			}
			if left := w.keys(recovery.Prefix); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// finishAndTrim is recovery, faster than the writer: it writes the row, deletes the
// sidecar, and forgets.
func finishAndTrim(w *world) {
	w.t.Helper()
	r, err := w.recoverer(w.disk)
	must(w.t, err)
	listed, err := recovery.List(ctx(w.t), w.disk)
	must(w.t, err)
	for _, l := range listed {
		rep, err := r.Recover(ctx(w.t), l.Key, recovery.RollForwardOnly{})
		must(w.t, err)
		if !rep.Complete {
			w.t.Fatalf("%+v", rep)
		}
	}
	must(w.t, r.Trim(ctx(w.t), 0))
	if st := w.state(); len(st.Outcomes) != 0 {
		w.t.Fatalf("still known: %+v", st.Outcomes)
	}
}

// outcomesOf counts the entries that decide op, in all publications.
func outcomesOf(w *world, op manifest.OperationID) (n int) {
	w.t.Helper()
	m, err := w.manifest(w.disk)
	must(w.t, err)
	for v := manifest.Version(1); v <= m.View().Version; v++ {
		b, err := m.Batch(ctx(w.t), v)
		must(w.t, err)
		for _, e := range b.Entries {
			if e.Operation == op && (e.Kind == manifest.KindPublish || e.Kind == manifest.KindAbandon) {
				n++
			}
		}
	}
	return n
}
