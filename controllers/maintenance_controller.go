// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/manifest"
)

const (
	// maintainedMost bounds the stores of one maintenance.
	maintainedMost = 64
	// stepsMost bounds the rounds of one pass: take, fence and hold in each store.
	stepsMost = 4
	// drainLook is when a store that drains is looked at again though nobody says that
	// something has changed, heldLook one that is held, storesLook stores that are not there yet.
	drainLook  = time.Second
	heldLook   = 30 * time.Second
	storesLook = 10 * time.Second
)

// StoreMaintenanceReconciler freezes stores and lets them go: it does what package
// maintenance decides, and tells how far it came.
type StoreMaintenanceReconciler struct {
	client.Client
	opt     Options
	live    client.Reader // without a cache
	events  events.EventRecorder
	roots   *Roots
	streams *Streams
	stores  *wake
	held    *holders
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
		r.held.forget(req.NamespacedName)
		return ctrl.Result{}, r.orphans(ctx, req.NamespacedName)
	case err != nil:
		return ctrl.Result{}, err
	}
	st := m.Status.DeepCopy()
	if holds(st.Conditions, v1alpha1.ConditionReleased) {
		r.held.forget(req.NamespacedName)
		return ctrl.Result{}, r.orphans(ctx, req.NamespacedName) // one of another uid, of the same name
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
	for range stepsMost {
		f := r.look(ctx, &m, st)
		p := f.terms.Decide(f.views)
		again, err := r.remember(ctx, &m, st, f, p)
		if err != nil {
			return ctrl.Result{}, err
		}
		if again {
			continue // what was written has to be there before the step
		}
		switch r.act(ctx, st, f, p) {
		case actedNothing:
			return r.tell(ctx, &m, st, progress{plan: p, views: f.views, after: r.lookAfter(p)}, nil)
		case actedReigns:
			return ctrl.Result{RequeueAfter: time.Millisecond}, nil // from the top: the resource is read again
		}
	}
	return ctrl.Result{RequeueAfter: 10 * time.Millisecond}, nil
}

// acted is what came of a round of steps.
type acted uint8

const (
	actedNothing acted = iota
	actedStep
	// actedReigns: this process has registered in a root, and did nothing else.
	actedReigns
)

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

// frozen is what one look at all stores of a maintenance found.
type frozen struct {
	terms maintenance.Terms
	views map[string]maintenance.View
	roots map[string]*Root
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

func (r *StoreMaintenanceReconciler) look(ctx context.Context, m *v1alpha1.StoreMaintenance, st *v1alpha1.StoreMaintenanceStatus) frozen {
	f := frozen{
		terms: maintenance.Terms{
			Owner: lockOwner(m), Reason: fmt.Sprintf("%s (StoreMaintenance %s/%s)", m.Spec.Reason, m.Namespace, m.Name),
			Until: m.Spec.Until.Time, DrainFor: v1alpha1.DefaultDrainTimeout, OnTimeout: maintenance.OnTimeout(m.Spec.Drain.OnTimeout),
			Leave: st.Leaving || !m.DeletionTimestamp.IsZero(),
		},
		views: map[string]maintenance.View{}, roots: map[string]*Root{},
	}
	if d := m.Spec.Drain.Timeout; d != nil {
		f.terms.DrainFor = d.Duration
	}
	for i := range st.Stores {
		s := &st.Stores[i]
		root, problem := r.root(ctx, m.Namespace, s.Name)
		v := maintenance.View{Date: r.opt.Now(), Took: s.LockedAt > 0}
		if problem == "" {
			if err := r.view(ctx, root, f.terms.Owner, s, &v); err != nil {
				problem = short(err)
			}
			if v.Ended != nil && s.EndedAt == 0 { // by another hand, perhaps: the store's status has to say so, too
				r.stores.up(root.Store, normal, 0)
			}
		}
		if problem != "" {
			v.Problem = problem
			if root != nil && v.Lock == nil {
				v.Lock = root.Manifest.View().Lock // the newest that is known
			}
		}
		f.views[s.Name], f.roots[s.Name] = v, root
	}
	return f
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

// view reads what the manifest says of the lock, and what the writers say.
func (r *StoreMaintenanceReconciler) view(ctx context.Context, root *Root, owner string, s *v1alpha1.MaintainedStore, v *maintenance.View) error {
	date, err := root.Manifest.Date(ctx)
	if err != nil {
		return err
	}
	st, err := root.Manifest.Latest(ctx)
	if err != nil {
		return err
	}
	v.Date, v.Lock = date, st.Lock
	if st.EndedLock != nil && st.EndedLock.Owner == owner {
		v.Ended, v.Took = st.EndedLock, true
	}
	ours := st.Lock != nil && st.Lock.Owner == owner
	if !ours && v.Ended == nil && s.AskedAt != nil {
		// It may have been taken by a process that did not live to say so, and have ended since.
		taken, ended, err := root.Manifest.FindLock(ctx, owner, manifest.Version(*s.AskedAt))
		if err != nil {
			return fmt.Errorf("look for the lock behind version %d: %w", *s.AskedAt, err)
		}
		v.Took, v.Ended = v.Took || taken > 0, ended
	}
	if ours {
		v.Took, v.Pods = true, r.streams.Pods(root)
	}
	return nil
}

// remember writes down what has to be known whatever happens to this process in the
// next step: that the freeze gives up, and behind which version its locks are. It
// reports whether it wrote something.
func (r *StoreMaintenanceReconciler) remember(ctx context.Context, m *v1alpha1.StoreMaintenance, st *v1alpha1.StoreMaintenanceStatus, f frozen, p maintenance.Plan) (bool, error) {
	again := false
	if p.Leave && !st.Leaving && m.DeletionTimestamp.IsZero() {
		st.Leaving, again = true, true
		r.events.Eventf(m, nil, eventType(true), v1alpha1.ReasonDrainTimedOut, "Release", "%s", clip(p.Why))
	}
	for i := range st.Stores {
		s := &st.Stores[i]
		if p.Stores[s.Name].Step == maintenance.StepTake && s.AskedAt == nil {
			s.AskedAt, again = new(int64(f.roots[s.Name].Manifest.View().Version)), true
		}
	}
	if !again {
		return false, nil
	}
	t := progress{plan: p, views: f.views}
	t.into(m, st, r.opt.Now())
	return true, r.apply(ctx, m, st)
}

// act does the next step in each store, as long as this process is the operator that
// acts. What failed is tried again.
func (r *StoreMaintenanceReconciler) act(ctx context.Context, st *v1alpha1.StoreMaintenanceStatus, f frozen, p maintenance.Plan) (did acted) {
	log := ctrl.LoggerFrom(ctx)
	for i := range st.Stores {
		name := st.Stores[i].Name
		n, root := p.Stores[name], f.roots[name]
		if n.Step == maintenance.None {
			continue
		}
		err := r.opt.Leads(ctx)
		by, reigned := r.reigns.of(root)
		switch {
		case err == nil && !reigned:
			if err = r.reigns.begin(ctx, root); err == nil {
				did = actedReigns
				continue
			}
		case err == nil:
			err = r.step(ctx, root, by, f.terms, f.views[name], n)
		}
		var locked *manifest.LockedError
		var notHeld *manifest.NotHeldError
		switch {
		case err == nil, errors.As(err, &locked), errors.As(err, &notHeld): // somebody was faster: look again
			did = max(did, actedStep)
			log.Info("maintenance", "store", name, "step", string(n.Step))
			r.streams.RefreshAll(root)
			r.stores.up(root.Store, normal, 0)
		default:
			if errors.Is(err, manifest.ErrFenced) {
				r.reigns.end(root)
			}
			root.away.note(err, r.opt.Now())
			n.Why = fmt.Sprintf("%s: %s", n.Step, short(err))
			p.Stores[name] = n
			log.Info("maintenance: the step failed, and is tried again", "store", name, "step", string(n.Step), "reason", err.Error())
		}
	}
	return did
}

// step publishes one step, under the epoch of this operator.
func (r *StoreMaintenanceReconciler) step(ctx context.Context, root *Root, by manifest.Publisher, t maintenance.Terms, v maintenance.View, n maintenance.Next) (err error) {
	l := manifest.Lock{Owner: t.Owner, Reason: t.Reason, Mode: manifest.Draining, Since: v.Date, Until: t.Until}
	switch n.Step {
	case maintenance.StepTake:
		_, err = root.Manifest.Lock(ctx, by, l)
	case maintenance.StepHold:
		l.Mode, l.Since = manifest.Frozen, v.Lock.Since
		_, err = root.Manifest.Lock(ctx, by, l)
	case maintenance.StepExtend:
		_, err = root.Manifest.Extend(ctx, by, t.Owner, t.Until)
	case maintenance.StepRelease:
		_, err = root.Manifest.Release(ctx, by, t.Owner)
	case maintenance.StepExpire:
		_, err = root.Manifest.Expire(ctx, by)
	case maintenance.StepFence:
		var fences []manifest.Entry
		for w, e := range n.Fence {
			fences = append(fences, manifest.Fence(w, e))
		}
		slices.SortFunc(fences, func(a, b manifest.Entry) int { return strings.Compare(string(a.Writer), string(b.Writer)) })
		_, err = root.Manifest.Publish(ctx, manifest.Publication{By: by, Entries: fences})
		r.streams.Learned(root)
	}
	return err
}

// lookAfter is when to look again if nobody wakes us.
func (r *StoreMaintenanceReconciler) lookAfter(p maintenance.Plan) time.Duration {
	after, now := heldLook, r.opt.Now()
	for _, n := range p.Stores {
		switch {
		case n.State == maintenance.Draining, n.Step != maintenance.None:
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
