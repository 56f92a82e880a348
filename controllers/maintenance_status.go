// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance"
)

// progress is how far a maintenance is, before it is told.
type progress struct {
	// rejected: there is nothing to work on.
	rejected *finding
	plan     maintenance.Plan
	views    map[string]maintenance.View
	after    time.Duration
}

// tell writes the status if it says something new, and lets events follow.
func (r *StoreMaintenanceReconciler) tell(ctx context.Context, m *v1alpha1.StoreMaintenance, st *v1alpha1.StoreMaintenanceStatus, p progress, failed error) (ctrl.Result, error) {
	if failed != nil {
		return ctrl.Result{}, failed
	}
	p.into(m, st, r.opt.Now())
	if !sameMaintenanceStatus(&m.Status, st) {
		if err := r.apply(ctx, m, st); err != nil {
			return ctrl.Result{}, err
		}
		for _, n := range newly(m.Status.Conditions, st.Conditions) {
			r.events.Eventf(m, nil, eventType(n.warning), n.reason, n.action, "%s", clip(n.message))
		}
	}
	if p.rejected != nil && p.rejected.Final || holds(st.Conditions, v1alpha1.ConditionReleased) {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: p.after}, nil
}

// apply writes the status over the one that was read, and no other: what an operator
// wrote down before it took a lock must not be lost to one that was asleep.
func (r *StoreMaintenanceReconciler) apply(ctx context.Context, m *v1alpha1.StoreMaintenance, st *v1alpha1.StoreMaintenanceStatus) error {
	return client.IgnoreNotFound(r.write(ctx, m, st)) // whoever deleted it wants to know no more
}

func (r *StoreMaintenanceReconciler) write(ctx context.Context, m *v1alpha1.StoreMaintenance, st *v1alpha1.StoreMaintenanceStatus) error {
	next := m.DeepCopy()
	next.Status = *st
	if err := r.Status().Update(ctx, next); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	m.ResourceVersion = next.ResourceVersion
	return nil
}

// into puts the progress into words. It is pure.
func (p progress) into(m *v1alpha1.StoreMaintenance, st *v1alpha1.StoreMaintenanceStatus, now time.Time) {
	held := 0
	for i := range st.Stores {
		s := &st.Stores[i]
		n, ok := p.plan.Stores[s.Name]
		if !ok {
			continue
		}
		maintained(s, n, p.views[s.Name])
		if n.State == maintenance.Held {
			held++
		}
	}
	st.Summary = fmt.Sprintf("%d/%d", held, len(st.Stores))
	st.ObservedGeneration = m.Generation
	st.Conditions = dated(m.Status.Conditions, p.conditions(st), v1alpha1.StoreMaintenanceConditions, m.Generation, now)
}

// maintained is one store's part.
func maintained(s *v1alpha1.MaintainedStore, n maintenance.Next, v maintenance.View) {
	s.State, s.Message = string(n.State), clip(n.Why)
	if v.Lock != nil && (n.State == maintenance.Draining || n.State == maintenance.Held) {
		s.LockedAt, s.Until = int64(v.Lock.Version), &metav1.Time{Time: v.Lock.Until.UTC().Truncate(time.Second)}
	}
	if h := v.Hooks; h != nil && h.Made {
		s.Hooks = new(countsOf(h.HookPlan))
	}
	if v.Ended != nil {
		s.EndedAt, s.EndedBy = int64(v.Ended.Version), string(v.Ended.How)
	}
	if n.State == maintenance.Released || n.State == maintenance.Requested {
		return // what the pods did last is worth keeping
	}
	pods := slices.Clone(n.Pods)
	slices.SortStableFunc(pods, func(a, b maintenance.Standing) int {
		switch {
		case a.Acknowledged == b.Acknowledged:
			return strings.Compare(a.Name, b.Name)
		case a.Acknowledged:
			return 1
		}
		return -1
	})
	done := 0
	s.Pods = nil
	for _, p := range pods {
		if p.Acknowledged {
			done++
		}
		if len(s.Pods) == 50 {
			continue
		}
		mp := v1alpha1.MaintainedPod{Name: p.Name, Acknowledged: p.Acknowledged, Gone: p.Gone, WaitsFor: clip(p.WaitsFor)}
		if p.Durable > 0 && p.Acknowledged { // one that changes all the time is no news
			mp.Position = new(int64(p.Durable))
		}
		s.Pods = append(s.Pods, mp)
	}
	s.Acknowledged = fmt.Sprintf("%d/%d", done, len(pods))
}

// conditions say where the maintenance is as a whole.
func (p progress) conditions(st *v1alpha1.StoreMaintenanceStatus) []condition {
	const (
		accepted, draining = v1alpha1.ConditionAccepted, v1alpha1.ConditionDraining
		held, released     = v1alpha1.ConditionHeld, v1alpha1.ConditionReleased
		working, stalled   = v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled
	)
	notHeld := func(why string) condition { return isFalse(held, v1alpha1.ReasonNotHeldYet, why) }
	calm := []condition{
		isTrue(accepted, v1alpha1.ReasonAccepted, "every lock is taken in the order of status.stores"),
		isFalse(draining, v1alpha1.ReasonSettled, "nobody drains"),
		isFalse(released, v1alpha1.ReasonNotReleased, "delete this StoreMaintenance to thaw"),
		isFalse(working, v1alpha1.ReasonSettled, "there is nothing to do"),
		isFalse(stalled, v1alpha1.ReasonSettled, "nothing waits for a person"),
	}
	if f := p.rejected; f != nil {
		said := set(set(calm, isFalse(accepted, f.Reason, f.Message)), notHeld("nothing was frozen: "+f.Message))
		if f.Final {
			return set(said, isTrue(stalled, f.Reason, f.Message))
		}
		return set(said, isTrue(working, f.Reason, f.Message))
	}
	sum, first := maintenance.Sum(p.plan.Stores), p.first(st)
	switch {
	case sum.State == maintenance.Released && sum.Undoing > 0:
		why := "the locks have ended; its hooks are being undone: see the HookRuns of its stores"
		return set(set(set(calm, notHeld(why)), isFalse(released, v1alpha1.ReasonHooksUndoing, why)), isTrue(working, v1alpha1.ReasonHooksUndoing, why))
	case sum.State == maintenance.Released:
		reason, message := p.ended(st)
		if sum.NotUndone != "" {
			why := clip(fmt.Sprintf("not undone: %s: do by hand what these hooks do, with status.pods[].hooks[].prior of the store's HookRun, then delete the HookRun", sum.NotUndone))
			calm = set(calm, isTrue(stalled, v1alpha1.ReasonHooksNotUndone, why))
		}
		return set(set(calm, isFalse(held, reason, message)), isTrue(released, reason, message))
	case st.Leaving:
		return set(set(set(calm, notHeld("the locks are given back: "+first)), isFalse(released, v1alpha1.ReasonThawing, first)), isTrue(working, v1alpha1.ReasonThawing, first))
	case sum.Broken:
		return set(set(calm, isFalse(held, v1alpha1.ReasonLockLost, first)), isTrue(stalled, v1alpha1.ReasonLockLost, first))
	case sum.State == maintenance.Held && p.incomplete():
		return set(set(calm, isTrue(held, v1alpha1.ReasonFrozenIncomplete, first)), isTrue(stalled, v1alpha1.ReasonFrozenIncomplete, first))
	case sum.State == maintenance.Held:
		return set(calm, isTrue(held, v1alpha1.ReasonFrozen, fmt.Sprintf("%d of %d stores are frozen, and every writer has acknowledged", sum.Held, len(st.Stores))))
	}
	reason := v1alpha1.ReasonWaitingForLock
	if sum.Draining > 0 {
		reason = v1alpha1.ReasonWritersDraining
	}
	said := set(set(calm, notHeld(first)), isTrue(working, reason, first))
	if sum.Draining > 0 {
		return set(said, isTrue(draining, v1alpha1.ReasonWritersDraining, first))
	}
	return set(said, isFalse(draining, v1alpha1.ReasonWaitingForLock, first))
}

// first is what the first store that is not where it should be says.
func (p progress) first(st *v1alpha1.StoreMaintenanceStatus) string {
	for _, s := range st.Stores {
		if n := p.plan.Stores[s.Name]; n.State != maintenance.Held || s.Acknowledged != "" && n.Incomplete() {
			if n.Why == "" {
				return fmt.Sprintf("store %s: %s", s.Name, n.State)
			}
			return fmt.Sprintf("store %s: %s", s.Name, n.Why)
		}
	}
	return "every store is held"
}

func (p progress) incomplete() bool {
	for _, n := range p.plan.Stores {
		if n.Incomplete() {
			return true
		}
	}
	return false
}

// ended says how it all ended: the worst speaks.
func (p progress) ended(st *v1alpha1.StoreMaintenanceStatus) (reason, message string) {
	reason, message = v1alpha1.ReasonThawed, "every lock was released"
	for _, s := range st.Stores {
		if s.EndedBy == "expire" {
			reason, message = v1alpha1.ReasonExpired, fmt.Sprintf("store %s: its time was over at version %d", s.Name, s.EndedAt)
		}
		if s.LockedAt == 0 && s.EndedBy == "" && reason == v1alpha1.ReasonThawed {
			reason, message = v1alpha1.ReasonUntilPassed, fmt.Sprintf("store %s: %s", s.Name, s.Message)
		}
	}
	switch {
	case st.Leaving && st.LeavingReason == v1alpha1.ReasonHookFailed:
		return v1alpha1.ReasonHookFailed, "a hook has failed, and everything was let go; the HookRun of the store has its output"
	case st.Leaving:
		return v1alpha1.ReasonDrainTimedOut, "some pods did not drain in time; status.stores names them"
	}
	return reason, message
}

// newly are the events of conditions that have just become what they are.
func newly(before, now []metav1.Condition) (out []note) {
	for _, t := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionHeld, v1alpha1.ConditionReleased} {
		was, _ := find(before, t)
		is, _ := find(now, t)
		if was.Status == is.Status && was.Reason == is.Reason || is.Status != metav1.ConditionTrue && t != v1alpha1.ConditionAccepted {
			continue
		}
		warning := is.Status != metav1.ConditionTrue || is.Reason == v1alpha1.ReasonFrozenIncomplete || is.Reason == v1alpha1.ReasonDrainTimedOut || is.Reason == v1alpha1.ReasonHookFailed || is.Reason == v1alpha1.ReasonExpired
		out = append(out, note{warning, is.Reason, t, is.Message})
	}
	return out
}

// sameMaintenanceStatus reports whether writing b over a would tell nobody anything.
func sameMaintenanceStatus(a, b *v1alpha1.StoreMaintenanceStatus) bool {
	if !sameWords(a.Conditions, b.Conditions) {
		return false
	}
	x, y := *a, *b
	x.Conditions, y.Conditions = nil, nil
	return equality.Semantic.DeepEqual(x, y)
}
