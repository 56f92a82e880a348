// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/maintenance/freeze"
	"github.com/salvor-io/salvor/manifest"
)

const (
	// maintainedMost bounds the stores of one maintenance.
	maintainedMost = 64
	// drainLook is when a store that drains is looked at again though nobody says that
	// something has changed, heldLook one that is held, storesLook stores that are not there yet.
	drainLook  = time.Second
	heldLook   = 30 * time.Second
	storesLook = 10 * time.Second
)

// StoreMaintenanceReconciler freezes stores and lets them go: package freeze does what
// package maintenance decides, and this tells how far it came.
type StoreMaintenanceReconciler struct {
	client.Client
	opt     Options
	live    client.Reader // without a cache
	events  events.EventRecorder
	roots   *Roots
	streams *Streams
	stores  *wake
	held    *holders
	hooks   *wake
	reigns  reigns
}

// Reconcile reads the resource past the cache: a freeze that is over must not freeze
// again because a cache was behind. And it reads it after this process has registered in
// the root: what an operator decided before its successor registered is refused there,
// so that one which was paused changes no lock when it wakes.
func (r *StoreMaintenanceReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var m v1alpha1.StoreMaintenance
	err := r.live.Get(ctx, req.NamespacedName, &m)
	switch {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, r.over(ctx, req.NamespacedName)
	case err != nil:
		return ctrl.Result{}, err
	}
	st := m.Status.DeepCopy()
	if holds(st.Conditions, v1alpha1.ConditionReleased) {
		return ctrl.Result{}, r.over(ctx, req.NamespacedName) // one of another uid, of the same name
	}
	ctx, cancel := context.WithTimeout(ctx, r.opt.PassTimeout)
	defer cancel()
	if len(st.Stores) == 0 {
		rejected, err := r.accept(ctx, &m, st)
		if err != nil || rejected != nil {
			return r.tell(ctx, &m, st, progress{rejected: rejected, after: storesLook}, err)
		}
	}
	r.held.note(req.NamespacedName, st.Stores)
	f := &freezing{StoreMaintenanceReconciler: r, m: &m, st: st, roots: map[string]*Root{}}
	seen, came, err := freeze.Pass(ctx, f.terms(), f.frozen(ctx), r.opt.Now, f)
	for i := range st.Stores {
		s := &st.Stores[i]
		if seen.Plan.Stores[s.Name].Undoing {
			r.hooks.up(types.NamespacedName{Namespace: m.Namespace, Name: s.Name}, urgent, 0)
		}
		if seen.Views[s.Name].Ended != nil && s.EndedAt == 0 { // by another hand, perhaps: the store's status has to say so, too
			r.stores.up(f.roots[s.Name].Store, normal, 0)
		}
	}
	switch {
	case err != nil:
		return ctrl.Result{}, err
	case came == freeze.Again:
		return ctrl.Result{RequeueAfter: time.Millisecond}, nil // from the top: the resource is read again
	}
	return r.tell(ctx, &m, st, progress{plan: seen.Plan, views: seen.Views, after: r.lookAfter(seen.Plan)}, nil)
}

// over releases what a maintenance has left, and forgets it when that was done.
func (r *StoreMaintenanceReconciler) over(ctx context.Context, key types.NamespacedName) error {
	if err := r.orphans(ctx, key); err != nil {
		return err
	}
	r.held.forget(key)
	return nil
}

// accept chooses the stores, once, in the order in which their locks are taken. A
// finding says why there is nothing to work on.
func (r *StoreMaintenanceReconciler) accept(ctx context.Context, m *v1alpha1.StoreMaintenance, st *v1alpha1.StoreMaintenanceStatus) (*finding, error) {
	if !r.opt.Now().Before(m.Spec.Until.Time) {
		return found(v1alpha1.ConditionAccepted, v1alpha1.ReasonUntilPassed, "spec.until is %s: that is over, and nothing was frozen; make another with a later one",
			m.Spec.Until.UTC().Format(time.RFC3339)).final(), nil
	}
	var names []string
	if m.Spec.StoreRef != nil {
		names = []string{m.Spec.StoreRef.Name}
	} else {
		sel, err := metav1.LabelSelectorAsSelector(m.Spec.Selector)
		if err != nil {
			return found(v1alpha1.ConditionAccepted, v1alpha1.ReasonNoStores, "spec.selector: %v", err).final(), nil
		}
		var l v1alpha1.WALStoreList
		if err := r.List(ctx, &l, client.InNamespace(m.Namespace), client.MatchingLabelsSelector{Selector: sel}); err != nil {
			return nil, err
		}
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	}
	if f, err := forbidden(ctx, r.Client, m); err != nil || f != nil {
		return f, err
	}
	if f, err := r.tooMany(ctx, m, names); err != nil || f != nil {
		return f, err
	}
	switch names = maintenance.Order(names); {
	case len(names) == 0:
		return found(v1alpha1.ConditionAccepted, v1alpha1.ReasonNoStores, "no WALStore of namespace %s matches spec.selector; it is looked for until spec.until", m.Namespace), nil
	case len(names) > maintainedMost:
		return found(v1alpha1.ConditionAccepted, v1alpha1.ReasonTooManyStores, "%d WALStores match spec.selector, and one maintenance takes %d", len(names), maintainedMost).final(), nil
	}
	for _, n := range names {
		st.Stores = append(st.Stores, v1alpha1.MaintainedStore{Name: n, State: string(maintenance.Requested)})
	}
	return nil, nil
}

// lockOwner is who holds the locks of a maintenance: its name for people, and the uid.
func lockOwner(m *v1alpha1.StoreMaintenance) string {
	return maintenanceOwner + m.Name + "/" + string(m.UID)
}

const maintenanceOwner = "maintenance/"

// maintainer returns the name of the StoreMaintenance that holds a lock, and its uid.
func maintainer(l *manifest.Lock) (name, uid string, ok bool) {
	if l == nil {
		return "", "", false
	}
	rest, ok := strings.CutPrefix(l.Owner, maintenanceOwner)
	if !ok {
		return "", "", false
	}
	name, uid, ok = strings.Cut(rest, "/")
	return name, uid, ok && name != "" && uid != ""
}

// root returns the open root of a store, or says why there is none to work on.
func (r *StoreMaintenanceReconciler) root(ctx context.Context, namespace, name string) (*Root, string) {
	var ws v1alpha1.WALStore
	err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &ws)
	switch {
	case apierrors.IsNotFound(err):
		return nil, "there is no WALStore " + name
	case err != nil:
		return nil, short(err)
	}
	root, pause := r.roots.Get(ws.UID), suspended(&ws, r.opt.Now())
	switch {
	case root == nil:
		return nil, "its root is not open: see the conditions of WALStore " + name
	case pause != nil:
		return root, "WALStore " + name + " is " + pause.String() + ": nothing is published"
	case root.doubt.Load():
		return root, "its object store does not keep its promises: see the conditions of WALStore " + name
	case root.away.is() != nil:
		return root, short(root.away.is())
	}
	return root, ""
}

// lookAfter is when to look again if nobody wakes us.
func (r *StoreMaintenanceReconciler) lookAfter(p maintenance.Plan) time.Duration {
	after, now := heldLook, r.opt.Now()
	for _, n := range p.Stores {
		switch {
		case n.State == maintenance.Draining, n.Step != maintenance.None, n.Undoing:
			after = min(after, drainLook)
		case n.State == maintenance.Requested:
			after = min(after, 2*drainLook)
		}
		if !n.Look.IsZero() && n.State != maintenance.Released {
			after = min(after, max(n.Look.Sub(now)+100*time.Millisecond, drainLook))
		}
	}
	return jitter(after)
}
