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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// applied is what was applied last for a managed store: as long as it is what we
// want and what is there, nothing is sent.
type applied struct {
	want       string
	generation int64 // of the StatefulSet after it
}

// managed keeps the StatefulSet and the Service of a store that the operator runs.
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
	there := err == nil
	if there && replicas(&have) > w.expected && metav1.IsControlledBy(&have, ws) {
		w.expected = replicas(&have) // somebody let it grow: it never shrinks
	}
	objects := []runtime.ApplyConfiguration{storeService(ws), storeSet(ws, image, w.expected, root.ca)}
	print, err := printOf(objects)
	if err != nil {
		return w, err
	}
	was := m.applied
	if there && was.want == print && was.generation == have.Generation && metav1.IsControlledBy(&have, ws) {
		w.step.ok = true
		return w, nil
	}
	foreign, err := r.foreign(ctx, ws)
	switch {
	case err != nil:
		return w, err
	case foreign != "":
		w.step.bad = found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonForeignObject,
			"%s %s/%s exists and does not belong to this WALStore; it was not touched: rename or delete it, or give the WALStore another name", foreign, ws.Namespace, ws.Name).final()
		r.once(ws, note{true, v1alpha1.ReasonForeignObject, "Apply", w.step.bad.Message})
		return w, nil
	}
	for _, o := range objects {
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
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(ws), &have); err != nil {
		return w, err
	}
	m.applied = applied{want: print, generation: have.Generation}
	w.step.ok = true
	return w, nil
}

// foreign names the kind of an object that has the name that we need and is not
// ours. It is asked of the API server itself: the cache may not know it yet.
func (r *WALStoreReconciler) foreign(ctx context.Context, ws *v1alpha1.WALStore) (string, error) {
	for kind, o := range map[string]client.Object{"StatefulSet": &appsv1.StatefulSet{}, "Service": &corev1.Service{}} {
		err := r.live.Get(ctx, client.ObjectKeyFromObject(ws), o)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return "", err
		case !metav1.IsControlledBy(o, ws):
			return kind, nil
		}
	}
	return "", nil
}

// printOf changes with what is to be applied.
func printOf(objects []runtime.ApplyConfiguration) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(objects); err != nil {
		return "", fmt.Errorf("encode the managed store: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
