// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
)

// wanted is what is wanted of a store's hooks now.
type wanted struct {
	// over says why they are undone; empty: they are not.
	over string
	// unknown says why nobody knows: then nothing new is quiesced, and nothing undone.
	unknown string
	// held: the store is frozen.
	held bool
	// gone: there is no StoreMaintenance that shows the results.
	gone bool
	// until is the end of the maintenance, where it says one.
	until *metav1.Time
}

// wanted asks whether the maintenance still holds the store: the API server for the
// maintenance, past the cache, and the manifest for its lock.
func (r *HookRunReconciler) wanted(ctx context.Context, run *v1alpha1.HookRun) (w wanted, err error) {
	var m v1alpha1.StoreMaintenance
	err = r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.Maintenance.Name}, &m)
	switch {
	case apierrors.IsNotFound(err), err == nil && string(m.UID) != run.Spec.Maintenance.UID:
		return wanted{over: "StoreMaintenance " + run.Spec.Maintenance.Name + " was deleted", gone: true}, nil
	case err != nil:
		return w, err
	}
	w.until = &m.Spec.Until
	switch {
	case !m.DeletionTimestamp.IsZero():
		w.over = "StoreMaintenance " + m.Name + " is being deleted"
	case m.Status.Leaving:
		w.over = "StoreMaintenance " + m.Name + " gives up: " + m.Status.LeavingReason
	case holds(m.Status.Conditions, v1alpha1.ConditionReleased):
		w.over = "StoreMaintenance " + m.Name + " is over"
	}
	if w.over != "" || run.Status.UndoSince != nil {
		return w, nil
	}
	lock, why, err := r.lock(ctx, run)
	ours := lock != nil && lock.Owner == lockOwner(&m)
	switch {
	case err != nil:
		return w, err
	case why == "" && !ours:
		w.over = "its lock has ended"
	case why == "":
		w.held = lock.Mode == manifest.Frozen
	case why == storeGone:
		w.over = why
	case !r.opt.Now().Before(m.Spec.Until.Time):
		w.over = "its time is over"
	default:
		w.unknown = why
	}
	return w, nil
}

const storeGone = "there is no such WALStore any more"

// lock reads the lock that holds the store; why says what keeps it from being read.
func (r *HookRunReconciler) lock(ctx context.Context, run *v1alpha1.HookRun) (l *manifest.Lock, why string, err error) {
	var ws v1alpha1.WALStore
	err = r.live.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.StoreRef.Name}, &ws)
	if apierrors.IsNotFound(err) {
		return nil, storeGone, nil
	}
	if err != nil {
		return nil, "", err
	}
	root := r.roots.Get(ws.UID)
	if root == nil {
		return nil, "its root is not open: see the conditions of WALStore " + ws.Name, nil
	}
	st, err := root.Manifest.Latest(ctx)
	if err != nil {
		return nil, short(err), nil
	}
	return st.Lock, "", nil
}

// containersOf tells the containers of a pod from those before and after a restart;
// "" while one that a hook runs in, or any at all, does not run.
func containersOf(pod *corev1.Pod, hooks []v1alpha1.Hook) string {
	if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" || !pod.DeletionTimestamp.IsZero() {
		return ""
	}
	runs := map[string]bool{}
	var restarts []string
	for _, c := range pod.Status.ContainerStatuses {
		runs[c.Name] = c.State.Running != nil
		restarts = append(restarts, fmt.Sprint(c.RestartCount))
	}
	any := false
	for _, is := range runs {
		any = any || is
	}
	for _, h := range hooks {
		for _, a := range []*v1alpha1.HookAction{h.Prior, &h.Pre, h.Post} {
			if a != nil && a.Exec != nil && !runs[containerOf(pod, a.Exec)] {
				return ""
			}
		}
	}
	if !any {
		return ""
	}
	return clipTo(string(pod.UID)+"/"+strings.Join(restarts, ","), 256)
}

// containerOf is the container that a command runs in.
func containerOf(pod *corev1.Pod, e *v1alpha1.ExecAction) string {
	if e.Container == "" && len(pod.Spec.Containers) > 0 {
		return pod.Spec.Containers[0].Name
	}
	return e.Container
}

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}
