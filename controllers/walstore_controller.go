// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// WALStoreReconciler opens and claims a store's root, keeps its pods where it is
// asked to, lets its writers be watched, lists what pends now and then, and says
// what is known of all that.
type WALStoreReconciler struct {
	client.Client
	opt      Options
	live     client.Reader // without a cache
	events   events.EventRecorder
	opener   *opener
	roots    *Roots
	streams  *Streams
	sweeper  *sweeper
	ledger   *ledger
	results  *results
	sidecars *wake
	meters   *meters
	// maintenances is asked whose a lock is.
	maintenances *wake

	mu   sync.Mutex
	each map[types.NamespacedName]*memory
}

// Reconcile walks from the root to the status. A step that does not hold leaves
// those after it unknown; the status is written on every way out.
func (r *WALStoreReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var ws v1alpha1.WALStore
	err := r.Get(ctx, req.NamespacedName, &ws)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	if err != nil || !ws.DeletionTimestamp.IsZero() {
		r.forget(req.NamespacedName, "")
		return ctrl.Result{}, nil
	}
	m := r.memory(&ws)
	if m.wrote != nil && m.over == ws.ResourceVersion {
		ws.Status = *m.wrote.DeepCopy()
	}
	if len(ws.Status.Conditions) == 0 {
		// First sight: opening a root may take a while, and an empty status says less.
		ws.Status.Conditions = dated(nil, unseen(v1alpha1.WALStoreConditions), v1alpha1.WALStoreConditions, ws.Generation, r.opt.Now())
		if err := applyStatus(ctx, r.Client, v1alpha1.KindWALStore, &ws, ws.Status); err != nil {
			return ctrl.Result{}, err
		}
	}
	resumed := m.resumed(&ws, r.opt.Now())
	if resumed || r.streams.Owed(ws.UID) {
		m.sweepAt = r.opt.Now()
	}
	woken := r.root(ctx, &ws, m) || resumed
	root := m.opening.root
	trusted := root
	if root != nil && root.doubt.Load() {
		trusted = nil // its pods are left as they are
	}
	load, err := r.workload(ctx, &ws, trusted, m)
	if err != nil {
		err = fmt.Errorf("keep the workload: %w", err)
		load.step = step{bad: found(v1alpha1.ConditionWorkloadAvailable, v1alpha1.ReasonInternal, "%s", short(err))}
	}
	err = errors.Join(err, r.watch(ctx, &ws, root, m, woken))
	mend, merr := r.mend(ctx, &ws, trusted, m)
	if merr != nil {
		err = errors.Join(err, fmt.Errorf("look after logs that have failed: %w", merr))
	}
	after, serr := r.status(ctx, &ws, root, m, load, mend)
	return ctrl.Result{RequeueAfter: r.next(&ws, m, after)}, errors.Join(err, serr)
}

// watch lets the writers of an open root be watched, and lists what pends.
func (r *WALStoreReconciler) watch(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory, woken bool) error {
	if root == nil {
		r.streams.Forget(ws.UID)
		return nil
	}
	if err := r.streams.Watch(ctx, ws, root); err != nil {
		return fmt.Errorf("watch the writers: %w", err)
	}
	r.heldBy(ctx, ws, root)
	if woken { // not before: who is alive has to be known
		r.wakeAll(ctx, ws)
	}
	switch {
	case suspended(ws, r.opt.Now()) != nil:
		if now := r.opt.Now(); !now.Before(m.sweepAt) { // it was looked at, if not listed
			m.sweepAt = now.Add(jitter(r.opt.SweepEvery))
		}
	case root.doubt.Load(): // nothing is written, and what pends keeps
	default:
		r.hasten(root, m)
		r.sweep(ctx, root, m)
		r.collect(ctx, ws, root, m)
	}
	return nil
}

// root opens the root, or looks again whether it is what it was: when the spec
// changed, when a sweep is due, when it went away, and after a pause when the last
// opening failed. It reports whether everything that pends deserves a new look.
func (r *WALStoreReconciler) root(ctx context.Context, ws *v1alpha1.WALStore, m *memory) (woken bool) {
	now := r.opt.Now()
	root := r.roots.Get(ws.UID)
	away := root != nil && root.away.is() != nil
	fresh := m.generation != ws.Generation
	due := root != nil && !now.Before(m.sweepAt)
	if !fresh && !due && !away && root != nil && m.opening.bad() == nil {
		return false
	}
	if !fresh && m.failures > 0 && now.Before(m.tryAt) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, r.opt.PassTimeout)
	defer cancel()
	wasOpen := root
	m.generation, m.opening = ws.Generation, r.opener.open(ctx, ws)
	if bad := m.opening.bad(); bad != nil {
		m.failures++
		pause := r.opt.backoff(m.failures)
		if bad.Final { // somebody has to do something first; a look a minute notices it
			pause = jitter(min(time.Minute, r.opt.BackoffMost))
		}
		m.tryAt = now.Add(pause)
		r.once(ws, note{true, bad.Reason, "OpenRoot", bad.Message})
		return false
	}
	regained := m.failures > 0
	m.failures = 0
	if m.opening.reprobed {
		m.sweepAt = now.Add(r.opt.pace(r.lull(root, m)))
	}
	if away || fresh || regained || wasOpen != m.opening.root {
		m.sweepAt = now
		return true
	}
	return false
}

// wakeAll asks for a look at everything that pends in a store.
func (r *WALStoreReconciler) wakeAll(ctx context.Context, ws *v1alpha1.WALStore) {
	all, err := r.resources(ctx, ws)
	if err != nil {
		return // the sweep that follows does the same
	}
	for i := range all {
		if !holds(all[i].Status.Conditions, cComplete) {
			r.sidecars.up(nameOf(&all[i]), normal, 0)
		}
	}
}

// resources are the RecoverySidecars of a store, as the cache has them: not to be
// written to.
func (r *WALStoreReconciler) resources(ctx context.Context, ws *v1alpha1.WALStore) ([]v1alpha1.RecoverySidecar, error) {
	var l v1alpha1.RecoverySidecarList
	err := r.List(ctx, &l, client.InNamespace(ws.Namespace), client.MatchingFields{indexStore: ws.Name}, client.UnsafeDisableDeepCopy)
	return l.Items, err
}

func (r *WALStoreReconciler) workload(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory) (workload, error) {
	var w workload
	var err error
	if ws.Spec.Workload != nil {
		w, err = r.adopted(ctx, ws, root, m)
	} else {
		w, err = r.managed(ctx, ws, root, m)
	}
	if err == nil {
		w.budgets, err = r.budgets(ctx, ws, w.expected)
	}
	return w, err
}

// next is when this store is looked at again if nothing happens before.
func (r *WALStoreReconciler) next(ws *v1alpha1.WALStore, m *memory, after time.Duration) time.Duration {
	now := r.opt.Now()
	at, pause := m.sweepAt, suspended(ws, now)
	switch {
	case m.opening.root == nil, m.opening.root.doubt.Load():
		at = m.tryAt
	case pause != nil:
		at = now.Add(r.opt.SweepEvery)
	case m.opening.bad() != nil && m.tryAt.Before(at):
		at = m.tryAt
	}
	if pause != nil && pause.Until.Time.Before(at) {
		at = pause.Until.Time // it ends by itself
	}
	d := max(at.Sub(now), 10*time.Millisecond)
	if after > 0 {
		d = min(d, after)
	}
	return d
}
