// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"errors"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

var admin = manifest.Publisher{Role: manifest.RoleOperator, Process: "ADMIN"}

// freeze takes the write lock of the world for an hour.
func (w *world) freeze(mode manifest.LockMode) *manifest.Store {
	w.t.Helper()
	m, err := w.manifest(w.disk)
	must(w.t, err)
	_, err = m.Lock(ctx(w.t), admin, manifest.Lock{Owner: "M1", Reason: "restart", Mode: mode, Since: w.clock(), Until: w.clock().Add(time.Hour)})
	must(w.t, err)
	return m
}

// Under a lock that would not let it publish a writer arms nothing: it is told who
// holds the store, and has written nothing at all.
func TestNothingIsArmedUnderALock(t *testing.T) {
	contract.Row(t, 98, 110)
	for _, mode := range []manifest.LockMode{manifest.Draining, manifest.Frozen} {
		t.Run(string(mode), func(t *testing.T) {
			w := prepared(onMemory(t))
			b := fault.Wrap(w.disk)
			wr, err := w.writer(b, "w")
			must(t, err)
			m := w.freeze(mode)
			before := b.Count(fault.PutIfAbsent)
			_, err = wr.Commit(ctx(t), scenarios[1].op(b))
			var locked *manifest.LockedError
			if !errors.As(err, &locked) || locked.Lock.Owner != "M1" {
				t.Fatalf("told %v", err)
			}
			if n := b.Count(fault.PutIfAbsent) - before; n != 0 {
				t.Errorf("%d puts under the lock", n)
			}
			_, err = m.Release(ctx(t), admin, "M1")
			must(t, err)
			_, err = wr.Commit(ctx(t), scenarios[1].op(b))
			must(t, err)
			if left := w.keys(recovery.Prefix); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// A lock whose time is over holds nobody back: who finds it ends it.
func TestALockThatIsOverIsEndedByWhoFindsIt(t *testing.T) {
	contract.Row(t, 137)
	w := prepared(onMemory(t))
	wr, err := w.writer(w.disk, "w")
	must(t, err)
	w.freeze(manifest.Frozen)
	must(t, w.sleep(ctx(t), time.Hour))
	_, err = wr.Commit(ctx(t), scenarios[1].op(w.disk))
	must(t, err)
	if st := w.state(); st.Lock != nil || st.EndedLock == nil || st.EndedLock.How != manifest.KindExpire {
		t.Errorf("lock %+v, ended %+v", st.Lock, st.EndedLock)
	}
}

// An operation that is confirmed when the store freezes is closed by its writer in
// the end: nobody can see it, and its client is told so for certain.
func TestWhatMeetsAFrozenStoreIsWithdrawn(t *testing.T) {
	contract.Row(t, 114)
	w := prepared(onMemory(t))
	b := fault.Wrap(w.disk)
	wr, err := w.writer(b, "w")
	must(t, err)
	gate := b.On(fault.PutIfAbsent, manifest.Prefix).ParkBefore()
	type told struct {
		recovery.Result
		error
	}
	done := make(chan told, 1)
	go func() {
		r, err := wr.Commit(ctx(t), scenarios[1].op(b))
		done <- told{r, err}
	}()
	_, err = gate.Await(ctx(t))
	must(t, err)
	w.freeze(manifest.Frozen)
	before := w.state().Tables
	gate.Release()
	got := <-done
	var locked *manifest.LockedError
	if !errors.Is(got.error, recovery.ErrFailed) || !errors.As(got.error, &locked) {
		t.Fatalf("told %v", got.error)
	}
	st := w.state()
	if o, ok := st.Outcome(got.Operation); !ok || o.Kind != manifest.KindAbandon || o.By.Role != manifest.RoleWriter {
		t.Errorf("outcome %+v", o)
	}
	for table, pin := range st.Tables {
		if before[table] != pin {
			t.Errorf("table %s moved under the lock", table)
		}
	}
	if left := w.keys(recovery.Prefix); len(left) > 0 || len(w.rows(got.Operation)) != 0 {
		t.Errorf("left over: %v, rows %v", left, w.rows(got.Operation))
	}
}
