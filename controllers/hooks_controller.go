// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance"
)

const (
	// hookBackoffMost is the longest pause between two attempts.
	hookBackoffMost = 30 * time.Second
	// hookUndoFor is how long after the end of a maintenance its hooks are undone.
	hookUndoFor = 15 * time.Minute
	// hookLook is when a HookRun that waits is looked at though nothing happens.
	hookLook = 10 * time.Second
)

// HookRunReconciler lets the hooks of maintenances run: it does what package
// maintenance decides, and writes down what it is about to do before it does it.
//
// The resource is the truth of what may have happened in the pods. It is read past the
// cache and written over the version that was read, so of two operators one goes on.
type HookRunReconciler struct {
	client.Client
	opt          Options
	live         client.Reader // without a cache
	events       events.EventRecorder
	roots        *Roots
	held         *holders
	maintenances *wake
	act          hookActor
}

// Reconcile looks at one store's hooks, and does the next round of them.
func (r *HookRunReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var run v1alpha1.HookRun
	if err := r.live.Get(ctx, req.NamespacedName, &run); apierrors.IsNotFound(err) {
		r.held.up(req.NamespacedName) // whoever has deleted it may have been waited for
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	looking, cancel := context.WithTimeout(ctx, r.opt.PassTimeout)
	defer cancel()
	w, err := r.wanted(looking, &run)
	if err != nil {
		return ctrl.Result{}, err
	}
	if w.over != "" && run.Status.UndoSince == nil {
		r.giveUp(&run, w.over)
		return ctrl.Result{RequeueAfter: time.Millisecond}, r.write(ctx, &run) // remembered before anything is undone
	}
	pods, err := r.pods(looking, &run)
	if err != nil {
		return ctrl.Result{}, err
	}
	now := r.opt.Now()
	plan := hookTerms(&run, w.held, r.opt).Decide(hookRan(&run), pods, now)
	if len(plan.Do) > 0 && (w.unknown == "" || run.Status.UndoSince != nil) {
		if err := r.opt.Leads(ctx); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{RequeueAfter: time.Millisecond}, r.round(ctx, &run, plan.Do, pods, w)
	}
	return r.tell(ctx, &run, plan, w)
}

// round does one step in each of some pods: what is about to be done is written down
// first, then done, then what came of it.
func (r *HookRunReconciler) round(ctx context.Context, run *v1alpha1.HookRun, do []maintenance.HookStep, pods []maintenance.HookPod, w wanted) error {
	begin(run, do, r.opt.Now())
	if err := r.write(ctx, run); err != nil {
		return err
	}
	results := r.act.all(ctx, run, do, r.opt)
	for i, s := range do {
		if results[i] == nil {
			continue // it was not sent, or nobody knows; its time runs out
		}
		end(run, s, *results[i], r.opt.Now())
		if results[i].failed != "" {
			r.events.Eventf(run, nil, eventType(true), v1alpha1.ReasonHookFailed, "Hook", "%s", clip(fmt.Sprintf("pod %s, hook %s: %s: %s", s.Pod, s.Hook, s.Part, results[i].failed)))
		}
	}
	before := run.Status.DeepCopy()
	r.describe(run, hookTerms(run, w.held, r.opt).Decide(hookRan(run), pods, r.opt.Now()), w)
	if err := r.write(ctx, run); err != nil {
		return err
	}
	r.say(run, before)
	r.wakeMaintenance(run)
	return nil
}

// describe puts into words where the hooks are.
func (r *HookRunReconciler) describe(run *v1alpha1.HookRun, plan maintenance.HookPlan, w wanted) {
	run.Status.Counts = countsOf(plan)
	run.Status.Conditions = dated(run.Status.Conditions, hookConditions(run, plan, w), v1alpha1.HookRunConditions, run.Generation, r.opt.Now())
	if w.until != nil {
		run.Status.Until = w.until
	}
}

// tell says where the hooks are; what is over, and of a maintenance that is gone, goes.
func (r *HookRunReconciler) tell(ctx context.Context, run *v1alpha1.HookRun, plan maintenance.HookPlan, w wanted) (ctrl.Result, error) {
	before := run.Status.DeepCopy()
	r.describe(run, plan, w)
	if !sameHookStatus(before, &run.Status) {
		if err := r.write(ctx, run); err != nil {
			return ctrl.Result{}, err
		}
		r.say(run, before)
		r.wakeMaintenance(run)
	}
	if run.Status.UndoSince != nil && plan.Undone && w.gone {
		// Nobody is left whom its results tell anything.
		err := r.Delete(ctx, run, client.Preconditions{UID: &run.UID, ResourceVersion: &run.ResourceVersion})
		if client.IgnoreNotFound(err) == nil {
			r.wakeMaintenance(run)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if run.Status.UndoSince != nil && plan.Undone {
		return ctrl.Result{}, nil // it stays to be read, until its maintenance is deleted
	}
	after := jitter(hookLook)
	if d := plan.Look.Sub(r.opt.Now()); !plan.Look.IsZero() && d < after {
		after = max(d, time.Millisecond)
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

// say lets events follow from what has become of the hooks.
func (r *HookRunReconciler) say(run *v1alpha1.HookRun, before *v1alpha1.HookRunStatus) {
	for _, t := range []string{v1alpha1.ConditionQuiesced, v1alpha1.ConditionUndone, v1alpha1.ConditionStalled} {
		was, _ := find(before.Conditions, t)
		is, _ := find(run.Status.Conditions, t)
		if is.Status == metav1.ConditionTrue && was.Status != is.Status {
			r.events.Eventf(run, nil, eventType(t == v1alpha1.ConditionStalled), is.Reason, "Hook", "%s", clip(is.Message))
		}
	}
}

// write writes the status over the one that was read, and no other.
func (r *HookRunReconciler) write(ctx context.Context, run *v1alpha1.HookRun) error {
	err := r.Status().Update(ctx, run)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write down what the hooks do: %w", err)
	}
	return err
}

// giveUp begins the undoing, for good.
func (r *HookRunReconciler) giveUp(run *v1alpha1.HookRun, why string) {
	now := r.opt.Now()
	end := now
	if u := run.Status.Until; u != nil && u.After(end) {
		end = u.Time
	}
	run.Status.UndoSince, run.Status.UndoWhy = new(metav1.NewMicroTime(now)), clip(why)
	run.Status.UndoUntil = new(metav1.NewMicroTime(end.Add(r.opt.UndoFor)))
}

func (r *HookRunReconciler) wakeMaintenance(run *v1alpha1.HookRun) {
	r.maintenances.up(types.NamespacedName{Namespace: run.Namespace, Name: run.Spec.Maintenance.Name}, urgent, 0)
}

// pods are those of the store, as the cache has them: what is done in one that was
// restarted since is done in its containers of before, and again in those of now.
func (r *HookRunReconciler) pods(ctx context.Context, run *v1alpha1.HookRun) ([]maintenance.HookPod, error) {
	return hookPods(ctx, r.Client, run.Namespace, run.Spec.StoreRef.Name, run.Spec.Hooks)
}

func hookPods(ctx context.Context, c client.Reader, namespace, store string, hooks []v1alpha1.Hook) (out []maintenance.HookPod, err error) {
	var l corev1.PodList
	if err := c.List(ctx, &l, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelStore: store}); err != nil {
		return nil, err
	}
	for i := range l.Items {
		out = append(out, maintenance.HookPod{Name: l.Items[i].Name, On: containersOf(&l.Items[i], hooks)})
	}
	return out, nil
}

func sameHookStatus(a, b *v1alpha1.HookRunStatus) bool {
	if !sameWords(a.Conditions, b.Conditions) {
		return false
	}
	for i := range a.Conditions {
		if a.Conditions[i].Message != b.Conditions[i].Message {
			return false
		}
	}
	x, y := *a, *b
	x.Conditions, y.Conditions = nil, nil
	return equality.Semantic.DeepEqual(x, y)
}

// setup: HookRuns when they appear or vanish, the pods of their stores, the
// maintenances that they are of, and whatever those report. Our own status is no news.
func (r *HookRunReconciler) setup(mgr ctrl.Manager, woken *wake) error {
	return ctrl.NewControllerManagedBy(mgr).Named("hookrun").
		For(&v1alpha1.HookRun{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
			return r.there(ctx, o.GetNamespace(), o.GetLabels()[v1alpha1.LabelStore])
		})).
		Watches(&v1alpha1.StoreMaintenance{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) (out []reconcile.Request) {
			for _, s := range o.(*v1alpha1.StoreMaintenance).Status.Stores {
				out = append(out, r.there(ctx, o.GetNamespace(), s.Name)...)
			}
			return out
		})).
		WatchesRawSource(source.Func(woken.Start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 16, SkipNameValidation: &r.opt.SkipNameValidation}).
		Complete(r)
}

// there are the HookRuns of a store: one or none, as the cache has it.
func (r *HookRunReconciler) there(ctx context.Context, namespace, store string) []reconcile.Request {
	key := types.NamespacedName{Namespace: namespace, Name: store}
	var run v1alpha1.HookRun
	if r.Get(ctx, key, &run) != nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}
