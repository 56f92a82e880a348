// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appsac "k8s.io/client-go/applyconfigurations/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance/rollout"
)

// applied is what was applied last for a managed store: as long as it is what we
// want and what is there, nothing is sent.
type applied struct {
	want       string
	generation int64 // of the StatefulSet after it
}

// managed keeps the StatefulSet, the Service and the disruption budget of a store that
// the operator runs, and changes its pods one step at a time (fleet.go).
// Without an open root nothing is made: pods must not write a root that is not ours.
func (r *WALStoreReconciler) managed(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory) (w workload, err error) {
	w.expected = ws.Spec.Managed.Replicas
	if root == nil {
		return w, nil
	}
	image := ws.Spec.Managed.Image
	if image == "" {
		image = r.opt.StoreImage
	}
	if image == "" {
		w.step.bad = found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonWorkloadRejected,
			"spec.managed.image is empty, and the operator was started without --store-image").final()
		return w, nil
	}
	var have appsv1.StatefulSet
	err = r.Get(ctx, client.ObjectKeyFromObject(ws), &have)
	if client.IgnoreNotFound(err) != nil {
		return w, err
	}
	if pause := suspended(ws, r.opt.Now()); pause != nil { // the pods are left as they are
		if have.Spec.Replicas != nil {
			w.expected = *have.Spec.Replicas
		}
		if w.step.ok = metav1.IsControlledBy(&have, ws); !w.step.ok {
			w.step.bad = found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonSuspended, "the pods are not made: %s", pause)
		}
		return w, nil
	}
	template, err := templateOf(ws, image, root.ca)
	if err != nil {
		return w, err
	}
	if have.UID == "" || !metav1.IsControlledBy(&have, ws) {
		return r.apply(ctx, ws, m, image, root.ca, template, w)
	}
	members, err := r.members(ctx, ws, root)
	if err != nil {
		return w, err
	}
	w.change = r.plan(ctx, ws, root, &have, members, m)
	r.leaving(ctx, ws, root, m, members, &w.change)
	s := shapeOf(&have, w.expected, template, w.change.next)
	w.expected = s.replicas
	print, err := printOf(storeObjects(ws, image, s, root.ca, ""))
	if err != nil {
		return w, err
	}
	if m.applied.want == print && m.applied.generation == have.Generation {
		w.step.ok = true
		return w, nil
	}
	w.change.over = have.Generation
	return r.apply(ctx, ws, m, image, root.ca, template, w)
}

// templateOf tells the wanted pod template from others.
func templateOf(ws *v1alpha1.WALStore, image string, ca bool) (string, error) {
	print, err := printOf([]runtime.ApplyConfiguration{appsac.StatefulSet("", "").WithSpec(appsac.StatefulSetSpec().
		WithTemplate(storeSet(ws, image, shape{}, ca).Spec.Template))})
	return print[:min(len(print), 16)], err
}

// apply makes the objects what they should be. It looks at the API server itself
// first: the cache may not know of a foreign object yet, or of pods that somebody
// has added.
func (r *WALStoreReconciler) apply(ctx context.Context, ws *v1alpha1.WALStore, m *memory, image string, ca bool, template string, w workload) (workload, error) {
	var set appsv1.StatefulSet
	var service corev1.Service
	var budget policyv1.PodDisruptionBudget
	foreign := ""
	for kind, o := range map[string]client.Object{"StatefulSet": &set, "Service": &service, "PodDisruptionBudget": &budget} {
		err := r.live.Get(ctx, client.ObjectKeyFromObject(ws), o)
		if client.IgnoreNotFound(err) != nil {
			return w, err
		}
		if err == nil && !metav1.IsControlledBy(o, ws) {
			foreign = kind
		}
	}
	if foreign != "" {
		w.step.bad = found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonForeignObject,
			"%s %s/%s exists and does not belong to this WALStore; it was not touched: rename or delete it, or give the WALStore another name", foreign, ws.Namespace, ws.Name).final()
		r.once(ws, note{true, v1alpha1.ReasonForeignObject, "Apply", w.step.bad.Message})
		return w, nil
	}
	next := w.change.next
	if set.Generation != w.change.over {
		next = rollout.Next{} // it was decided over another one
	}
	s := shapeOf(&set, ws.Spec.Managed.Replicas, template, next)
	w.expected = s.replicas
	for _, o := range storeObjects(ws, image, s, ca, set.ResourceVersion) {
		err := r.Apply(ctx, o, fieldManager, client.ForceOwnership)
		switch {
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			return w, nil
		case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
			w.step.bad = found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonWorkloadRejected, "%s", short(err)).final()
			return w, nil
		case err != nil:
			return w, err
		}
	}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(ws), &set); err != nil {
		return w, err
	}
	print, err := printOf(storeObjects(ws, image, s, ca, ""))
	m.applied = applied{want: print, generation: set.Generation}
	w.step.ok = true
	return w, err
}

// storeObjects are what a managed store consists of. over is the version of the
// StatefulSet that they are meant to change: it must not have moved.
func storeObjects(ws *v1alpha1.WALStore, image string, s shape, ca bool, over string) []runtime.ApplyConfiguration {
	set := storeSet(ws, image, s, ca)
	if over != "" {
		set.WithResourceVersion(over)
	}
	return []runtime.ApplyConfiguration{storeService(ws), storeBudget(ws), set}
}

// printOf changes with what is to be applied.
func printOf(objects []runtime.ApplyConfiguration) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(objects); err != nil {
		return "", fmt.Errorf("encode the managed store: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
