// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/manifest"
)

// hooked reads how far the hooks of a maintenance are in one store: from the HookRun,
// past the cache.
func (r *StoreMaintenanceReconciler) hooked(ctx context.Context, m *v1alpha1.StoreMaintenance, s *v1alpha1.MaintainedStore, l *manifest.Lock) (*maintenance.Hooked, error) {
	if len(m.Spec.Hooks) == 0 {
		return nil, nil
	}
	var run v1alpha1.HookRun
	err := r.live.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: s.Name}, &run)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read what the hooks did: %w", err)
	}
	ours := err == nil && run.Spec.Maintenance.UID == string(m.UID)
	h := &maintenance.Hooked{Made: ours, Gone: !ours && s.Hooks != nil}
	switch {
	case ours:
		pods, err := hookPods(ctx, r.Client, m.Namespace, s.Name, run.Spec.Hooks)
		if err != nil {
			return nil, err
		}
		held := l != nil && l.Owner == lockOwner(m) && l.Mode == manifest.Frozen
		h.HookPlan = hookTerms(&run, held, r.opt).Decide(hookRan(&run), pods, r.opt.Now())
	case err == nil && !isOver(&run):
		h.Another = "StoreMaintenance " + run.Spec.Maintenance.Name
	}
	return h, nil
}

// isOver: nothing of it is left to undo.
func isOver(run *v1alpha1.HookRun) bool {
	return run.Status.UndoSince != nil && hookTerms(run, false, Options{}).Decide(hookRan(run), nil, run.Status.UndoSince.Time.Add(time.Hour)).Undone
}

// makeHookRun makes the place where what the hooks do is written down. One of before
// that is over gives way.
func (r *StoreMaintenanceReconciler) makeHookRun(ctx context.Context, m *v1alpha1.StoreMaintenance, store string) error {
	var old v1alpha1.HookRun
	err := r.live.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: store}, &old)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err == nil {
		if old.Spec.Maintenance.UID == string(m.UID) || !isOver(&old) {
			return nil // look again
		}
		if err := client.IgnoreNotFound(r.Delete(ctx, &old, client.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion})); err != nil {
			return err
		}
	}
	run := &v1alpha1.HookRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: store},
		Spec: v1alpha1.HookRunSpec{
			StoreRef: v1alpha1.LocalReference{Name: store}, Maintenance: v1alpha1.MaintenanceReference{Name: m.Name, UID: string(m.UID)}, Hooks: m.Spec.Hooks,
		},
	}
	if err := r.Create(ctx, run); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// undoing reports whether the lock of a maintenance that is gone is kept for what its
// hooks have left.
func (r *StoreMaintenanceReconciler) undoing(ctx context.Context, store types.NamespacedName, uid string) (bool, error) {
	var run v1alpha1.HookRun
	err := r.live.Get(ctx, store, &run)
	if apierrors.IsNotFound(err) || err == nil && run.Spec.Maintenance.UID != uid {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r.hooks.up(store, urgent, 0)
	pods, err := hookPods(ctx, r.Client, store.Namespace, store.Name, run.Spec.Hooks)
	if err != nil {
		return false, err
	}
	plan := hookTerms(&run, false, r.opt).Decide(hookRan(&run), pods, r.opt.Now())
	return run.Status.UndoSince == nil || !plan.Undone && !plan.Tried && plan.GaveUp == "", nil
}

// tooMany says that a store has more pods than one HookRun takes.
func (r *StoreMaintenanceReconciler) tooMany(ctx context.Context, m *v1alpha1.StoreMaintenance, stores []string) (*finding, error) {
	if len(m.Spec.Hooks) == 0 {
		return nil, nil
	}
	for _, store := range stores {
		var l corev1.PodList
		if err := r.List(ctx, &l, client.InNamespace(m.Namespace), client.MatchingLabels{v1alpha1.LabelStore: store}); err != nil {
			return nil, err
		}
		if len(l.Items) > hookedMost {
			return found(v1alpha1.ConditionAccepted, v1alpha1.ReasonTooManyPods, "WALStore %s has %d pods, and hooks run in %d at most", store, len(l.Items), hookedMost).final(), nil
		}
	}
	return nil, nil
}
