// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance/freeze"
	"github.com/salvor-io/salvor/manifest"
)

// orphans releases the locks of a StoreMaintenance that is gone: nothing else ends
// them before their time. No kind has a finalizer, so this is how a thaw looks.
//
// The evidence is the API server's own word, past the cache: there is none of that
// name, or another one, or it is over. The lock carries name and uid, so that a
// successor of the same name does not keep it, and nobody else's is touched.
//
// A root is asked if the maintenance was about its store, or if the manifest that is
// remembered says so; the others of the namespace are not. What is remembered may be
// old: heldBy wakes this when it is newer.
func (r *StoreMaintenanceReconciler) orphans(ctx context.Context, key types.NamespacedName) error {
	var l v1alpha1.WALStoreList
	if err := r.List(ctx, &l, client.InNamespace(key.Namespace)); err != nil {
		return err
	}
	var failed error
	for i := range l.Items {
		ws := &l.Items[i]
		root := r.roots.Get(ws.UID)
		if root == nil || root.doubt.Load() {
			continue
		}
		if name, _, ok := maintainer(root.Manifest.View().Lock); ok && name == key.Name || r.held.about(key, ws.Name) {
			failed = errors.Join(failed, r.orphan(ctx, ws, root, key))
		}
	}
	return failed
}

func (r *StoreMaintenanceReconciler) orphan(ctx context.Context, ws *v1alpha1.WALStore, root *Root, key types.NamespacedName) error {
	ctx, cancel := context.WithTimeout(ctx, r.opt.PassTimeout)
	defer cancel()
	of := freezing{StoreMaintenanceReconciler: r, roots: map[string]*Root{ws.Name: root}}
	lock, evidence, err := freeze.Orphan(ctx, root.Manifest,
		func(l *manifest.Lock) bool {
			name, _, ok := maintainer(l)
			return ok && name == key.Name
		},
		func(ctx context.Context) (manifest.Publisher, error) {
			by, _, err := of.Publisher(ctx, ws.Name)
			return by, err
		},
		func(ctx context.Context, l *manifest.Lock) (string, error) {
			_, uid, _ := maintainer(l)
			evidence, err := r.gone(ctx, key, types.UID(uid))
			if err != nil || evidence == "" {
				return "", err
			}
			if kept, err := r.undoing(ctx, nameOf(ws), uid); err != nil || kept {
				return "", err // its hooks wake this again
			}
			return evidence, nil
		})
	if err != nil {
		if errors.Is(err, manifest.ErrFenced) {
			r.reigns.end(root)
		}
		return fmt.Errorf("release the lock of StoreMaintenance %s in store %s: %w", key, ws.Name, err)
	}
	if lock == nil {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("released a lock", "store", ws.Name, "owner", lock.Owner, "evidence", evidence)
	r.events.Eventf(ws, nil, eventType(false), v1alpha1.ReasonThawed, "Release", "the write lock of %s was released: %s", lock.Owner, evidence)
	r.streams.RefreshAll(root)
	r.stores.up(root.Store, normal, 0)
	return nil
}

// gone says why nobody holds on to a lock any more; "" when somebody does.
func (r *StoreMaintenanceReconciler) gone(ctx context.Context, key types.NamespacedName, uid types.UID) (string, error) {
	var m v1alpha1.StoreMaintenance
	err := r.live.Get(ctx, key, &m)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("there is no StoreMaintenance %s any more", key.Name), nil
	case err != nil:
		return "", err
	case m.UID != uid:
		return fmt.Sprintf("the StoreMaintenance %s of uid %s is gone, there is another of that name", key.Name, uid), nil
	case holds(m.Status.Conditions, v1alpha1.ConditionReleased):
		return fmt.Sprintf("StoreMaintenance %s is over", key.Name), nil
	}
	return "", nil
}

// heldBy wakes the maintenance whose lock holds a store if nobody seems to know of
// it: after a restart of the operator, or when it was deleted while the root was away.
func (r *WALStoreReconciler) heldBy(ctx context.Context, ws *v1alpha1.WALStore, root *Root) {
	name, uid, ok := maintainer(root.Manifest.View().Lock)
	if !ok {
		return
	}
	key := types.NamespacedName{Namespace: ws.Namespace, Name: name}
	var m v1alpha1.StoreMaintenance
	err := r.Get(ctx, key, &m)
	if err == nil && string(m.UID) == uid && !holds(m.Status.Conditions, v1alpha1.ConditionReleased) {
		return
	}
	r.maintenances.up(key, normal, 0)
}
