// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// budgets looks whether the pods of a store can be evicted at all.
func (r *WALStoreReconciler) budgets(ctx context.Context, ws *v1alpha1.WALStore, pods int32) (s step, err error) {
	name := ws.Name
	if ws.Spec.Workload != nil {
		name = ws.Spec.Workload.StatefulSetName
	}
	var set appsv1.StatefulSet
	if err := r.Get(ctx, client.ObjectKey{Namespace: ws.Namespace, Name: name}, &set); err != nil {
		return s, client.IgnoreNotFound(err)
	}
	var all policyv1.PodDisruptionBudgetList
	if err := r.List(ctx, &all, client.InNamespace(ws.Namespace)); err != nil {
		return s, err
	}
	s.bad = stuckBudgets(ws, all.Items, set.Spec.Template.Labels, pods)
	s.ok = s.bad == nil
	if s.bad != nil {
		r.once(ws, note{true, s.bad.Reason, "Evict", s.bad.Message})
	} else {
		r.memory(ws).settled("Evict")
	}
	return s, nil
}

// stuckBudgets says why no pod with these labels can ever be evicted. It is pure.
func stuckBudgets(ws *v1alpha1.WALStore, all []policyv1.PodDisruptionBudget, pod map[string]string, pods int32) *finding {
	var first *policyv1.PodDisruptionBudget
	for i := range all {
		b := &all[i]
		of, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || !of.Matches(labels.Set(pod)) {
			continue
		}
		if why := neverMet(b.Spec, int(pods)); why != "" {
			return found(v1alpha1.ConditionDrainable, v1alpha1.ReasonBudgetNeverMet,
				"PodDisruptionBudget %s/%s has %s of %d: no pod may ever be evicted, and draining its node waits for ever; give it maxUnavailable: 1", b.Namespace, b.Name, why, pods)
		}
		if first == nil {
			first = b
			continue
		}
		ours, other := first, b
		if metav1.IsControlledBy(other, ws) {
			ours, other = other, ours
		}
		return found(v1alpha1.ConditionDrainable, v1alpha1.ReasonBudgetsClash,
			"PodDisruptionBudgets %s and %s%s both cover the pods, and Kubernetes then refuses every eviction; keep one of them", other.Name, ours.Name, mine(ours, ws))
	}
	return nil
}

func mine(b *policyv1.PodDisruptionBudget, ws *v1alpha1.WALStore) string {
	if metav1.IsControlledBy(b, ws) {
		return " (ours)"
	}
	return ""
}

// neverMet returns what of a budget keeps every one of n healthy pods from being
// evicted; empty when one of them may go.
func neverMet(b policyv1.PodDisruptionBudgetSpec, n int) string {
	if b.MinAvailable != nil {
		if least, err := intstr.GetScaledValueFromIntOrPercent(b.MinAvailable, n, true); err == nil && least >= n && n > 0 {
			return fmt.Sprintf("minAvailable %s", b.MinAvailable.String())
		}
	}
	if b.MaxUnavailable != nil {
		if most, err := intstr.GetScaledValueFromIntOrPercent(b.MaxUnavailable, n, true); err == nil && most <= 0 {
			return fmt.Sprintf("maxUnavailable %s", b.MaxUnavailable.String())
		}
	}
	return ""
}

// neighbours are the WALStores of a budget's namespace.
func (r *WALStoreReconciler) neighbours(ctx context.Context, o client.Object) (out []reconcile.Request) {
	var l v1alpha1.WALStoreList
	if err := r.List(ctx, &l, client.InNamespace(o.GetNamespace())); err != nil {
		return nil // the cache is not there yet: every store is looked at when it is
	}
	for i := range l.Items {
		out = append(out, reconcile.Request{NamespacedName: nameOf(&l.Items[i])})
	}
	return out
}

// TrimBudget drops what nobody here looks at before one enters the cache.
func TrimBudget(o any) (any, error) {
	b, ok := o.(*policyv1.PodDisruptionBudget)
	if !ok {
		return o, nil
	}
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{
			Name: b.Name, Namespace: b.Namespace, UID: b.UID, ResourceVersion: b.ResourceVersion, Generation: b.Generation, OwnerReferences: b.OwnerReferences,
		},
		Spec: b.Spec,
	}, nil
}
