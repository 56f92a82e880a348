// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// The operator lets old history go, as the WALStore says, and never what something
// that pends may need: an object that nobody can read holds all of it.
func TestHistoryIsCollectedUpToWhatPends(t *testing.T) {
	contract.Row(t, 129)
	var later atomic.Int64 // hours
	w, pods := ledgerWorld(t, 1, func(w *world) {
		w.replace(mem.New(mem.Options{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load()) * time.Hour) }}))
		w.opt.SweepEvery, w.opt.CollectEvery, w.opt.BackoffMost = never/2, never/4, never
		w.retain = v1alpha1.Retention{Versions: 16, Age: &metav1.Duration{Duration: time.Hour}}
	})
	commit := func(n int) {
		t.Helper()
		for range n {
			if got := <-pods[0].commitNow("accounts"); got.err != nil {
				t.Fatal(got.err)
			}
		}
	}
	commit(100)
	const garbage = "recovery/01GARBAGE"
	w.object(garbage, []byte("not a sidecar"))
	later.Add(3)
	commit(8)
	ran := w.metric("salvor_collections_total")
	eventually(t, "a collection that finds the object", func() bool { return w.metric("salvor_collections_total") > ran })
	if n := len(w.keys(manifest.BoundaryPrefix)); n != 0 || len(w.keys(manifest.Key(1))) != 1 {
		t.Fatalf("%d boundaries, publication 1 there %d times: what cannot be read may need anything", n, len(w.keys(manifest.Key(1))))
	}
	must(t, w.disk.Delete(w.ctx, garbage))
	commit(8)
	eventually(t, "the boundary", func() bool { return len(w.keys(manifest.BoundaryPrefix)) == 1 })
	eventually(t, "history to go", func() bool { return len(w.keys(manifest.Prefix)) < 100 })
	commit(1)
	st := w.manifest() // a cold reader
	if pin := st.Tables["accounts"]; len(w.keys(manifest.TableKey("accounts", pin.Number, pin.Operation))) == 0 {
		t.Errorf("the newest version names %s, which is gone", pin.Operation)
	}
	if v := w.metric("salvor_collected_bytes_total"); v == 0 {
		t.Error("nothing was counted")
	}
	w.becomes("ledger", v1alpha1.ConditionReady, "True Healthy")
}
