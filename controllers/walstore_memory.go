// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
)

// memory is what a pass leaves for the next one of the same store.
type memory struct {
	uid        types.UID
	generation int64 // of the spec that the last opening was for
	opening    opening
	failures   int              // of openings, in a row
	tryAt      time.Time        // the next opening, after one that failed
	suspended  bool             // at the last pass
	sweepAt    time.Time        // the next listing
	swept      manifest.Version // the newest publication at the last one
	unlisted   int              // failures of it, in a row
	listed     step
	collecting collecting
	applied    applied
	orders     map[string]issued  // by pod
	refused    map[string]refusal // the newest, by pod
	mended     map[string]string  // the process whose eviction was granted last, by pod
	volumes    map[string]volume  // by pod
	told       map[string]string  // the newest event's reason by action

	// The newest status: when, what, and over which version of the object. While
	// the cache still shows that version, it is behind.
	written time.Time
	wrote   *v1alpha1.WALStoreStatus
	over    string
}

// forget lets go of a store that is gone, or whose name another one has now.
func (r *WALStoreReconciler) forget(key types.NamespacedName, except types.UID) {
	r.mu.Lock()
	m := r.each[key]
	if m == nil || m.uid == except {
		r.mu.Unlock()
		return
	}
	delete(r.each, key)
	r.mu.Unlock()
	r.streams.Forget(m.uid)
	r.roots.Close(m.uid)
	r.ledger.forget(m.uid)
	r.results.forget(m.uid)
	r.meters.forget(key.Namespace, key.Name)
}

func (r *WALStoreReconciler) memory(ws *v1alpha1.WALStore) *memory {
	key := client.ObjectKeyFromObject(ws)
	r.forget(key, ws.UID)
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.each[key]
	if m == nil {
		m = &memory{uid: ws.UID, told: map[string]string{}}
		r.each[key] = m
	}
	return m
}

// once emits an event when its message is another one than the last of its reason.
func (r *WALStoreReconciler) once(ws *v1alpha1.WALStore, n note) {
	m := r.memory(ws)
	if m.told[n.action] == n.reason {
		return
	}
	m.told[n.action] = n.reason
	r.events.Eventf(ws, nil, eventType(n.warning), n.reason, n.action, "%s", clip(n.message))
}

// settled says that what an action told of is over.
func (m *memory) settled(action string) { delete(m.told, action) }
