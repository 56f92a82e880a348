// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/test/contract"
)

// An operator that takes over finds a thousand stores in its first listing. It opens,
// and dials, those first in which something pends; not those in which something did.
func TestAHandOverBeginsWithTheStoresInWhichSomethingPends(t *testing.T) {
	contract.Row(t, 133)
	stores := &wake{}
	r := &RecoverySidecarReconciler{ledger: &ledger{}, stores: stores}
	queue := func(name string) priorityqueue.PriorityQueue[reconcile.Request] {
		q := priorityqueue.New[reconcile.Request](name)
		t.Cleanup(q.ShutDown)
		return q
	}
	ofStores, ofSidecars := queue("stores"), queue("sidecars")
	sidecars := &wake{}
	must(t, sidecars.Start(t.Context(), ofSidecars))
	listed := func(o client.Object, h handler.EventHandler, q priorityqueue.PriorityQueue[reconcile.Request]) {
		h.Create(t.Context(), event.CreateEvent{Object: o, IsInInitialList: true}, q)
	}
	inOrder := &handler.EnqueueRequestForObject{} // as the builder's For, with the priority of initial lists
	for n := range 1000 {
		ws := &v1alpha1.WALStore{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprintf("store-%04d", n)}}
		listed(ws, handler.WithLowPriorityWhenUnchanged(inOrder), ofStores)
	}
	finished := []metav1.Condition{{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionTrue}}
	for n, conditions := range map[int][]metav1.Condition{700: nil, 300: finished} {
		rsc := &v1alpha1.RecoverySidecar{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprintf("r-%d", n)}}
		rsc.Spec.StoreRef.Name, rsc.Status.Conditions = fmt.Sprintf("store-%04d", n), conditions
		listed(rsc, r.arrivals(sidecars), ofSidecars)
	}
	must(t, stores.Start(context.Background(), ofStores)) // its controller may start later

	first, priority, _ := ofStores.GetWithPriority()
	if first.NamespacedName != (types.NamespacedName{Namespace: "ns", Name: "store-0700"}) || priority != normal {
		t.Errorf("the first store is %v with priority %d", first, priority)
	}
	if next, priority, _ := ofStores.GetWithPriority(); priority != background {
		t.Errorf("then %v with priority %d", next, priority)
	}
	if n := ofStores.Len(); n != 998 {
		t.Errorf("%d stores are left", n)
	}
}
