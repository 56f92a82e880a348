// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// A freeze of one store and its end ask nothing of the roots of others.
func TestAFreezeAsksNothingOfOtherStores(t *testing.T) {
	contract.Row(t, 107, 110)
	w := newWorld(t)
	names := []string{"a", "b", "c", "d"}
	buckets := map[string]*fault.Bucket{}
	w.manyRoots(names...)
	for _, n := range names {
		buckets[n] = fault.Wrap(w.more[n])
		w.store(n, 1, ownRoot)
	}
	w.opt.OpenBucket = func(_ context.Context, root v1alpha1.Root, _ Access) (objstore.Bucket, error) {
		return buckets[root.URI[strings.LastIndex(root.URI, ".")+1:]], nil
	}
	w.start()
	for _, n := range names {
		w.becomes(n, v1alpha1.ConditionRootClaimed, "True Claimed")
		w.serve(n, 0)
		w.streaming(n)
	}
	asked := func() (of map[string]int) {
		of = map[string]int{}
		for _, n := range names {
			of[n] = len(buckets[n].Calls())
		}
		return of
	}
	before, same := asked(), 0
	eventually(t, "nobody asks any more", func() bool {
		if now := asked(); !maps.Equal(now, before) {
			before, same = now, 0
		}
		same++
		return same > 30
	})
	for range 3 {
		m := w.freeze("restart", func(m *v1alpha1.StoreMaintenance) { m.Spec.StoreRef.Name = "b" })
		w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
		w.thaw(m)
		w.unlocked("b")
	}
	after := asked()
	for _, n := range names {
		if got := after[n] - before[n]; (n == "b") != (got > 0) {
			t.Errorf("store %s was asked %d times", n, got)
		}
	}
}
