// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
)

// RecoverySidecarReconciler takes one pending operation as far as it may: it is
// the only caller of Recoverer.Recover.
type RecoverySidecarReconciler struct {
	client.Client
	opt     Options
	live    client.Reader // without a cache
	events  events.EventRecorder
	roots   *Roots
	streams *Streams
	ledger  *ledger
	stores  *wake
	results *results
	meters  *meters
	done    completed
}

// Reconcile reads the resource, asks detect what it may do, lets the library do
// it, and tells everybody.
func (r *RecoverySidecarReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var rsc v1alpha1.RecoverySidecar
	if err := r.Get(ctx, req.NamespacedName, &rsc); err != nil || !rsc.DeletionTimestamp.IsZero() {
		r.done.gone(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if r.done.behind(&rsc) {
		return ctrl.Result{RequeueAfter: jitter(time.Second)}, nil // and then it is retired
	}
	ws, root, waits, err := r.store(ctx, &rsc)
	if err != nil {
		return ctrl.Result{}, err
	}
	if holds(rsc.Status.Conditions, cComplete) {
		if waits != nil || root == nil {
			return ctrl.Result{}, nil
		}
		if again, err := r.retire(ctx, &rsc, root); err != nil || again > 0 {
			return ctrl.Result{RequeueAfter: again}, err
		}
		if _, back := r.ledger.get(root.UID, rsc.Spec.Key); !back {
			return ctrl.Result{}, nil // deleted
		}
	}
	if waits == nil && root != nil && root.doubt.Load() {
		waits = notReady(ws)
	}
	p := pass{
		before: rsc.Status, generation: rsc.Generation, detected: detectedAt(&rsc), byHand: rsc.Annotations[annotationDetected] == "",
		waits: waits, attempts: r.opt.Attempts, backoff: r.opt.backoff, retain: r.opt.Retain,
	}
	if waits == nil {
		if root == nil {
			return ctrl.Result{}, nil // the store's own reconciler opens it, and wakes us
		}
		if root.away.is() != nil {
			return ctrl.Result{RequeueAfter: jitter(time.Minute)}, nil // one asks for all: the store's reconciler
		}
		p.planOnly = ws.Spec.Recovery.Mode == v1alpha1.RecoveryPlan
		if a := rsc.Spec.Approval; a != nil {
			p.approved = a.PlanHash
		}
		if ws.Spec.Recovery.RollBack == v1alpha1.RollBackAutomatic {
			o, err := windows(ws).At(r.opt.Now())
			p.closed, p.opens = err != nil || !o.Open, o.Next
		}
		r.recover(ctx, root, &rsc, ws, &p)
		if ctx.Err() != nil {
			return ctrl.Result{}, context.Cause(ctx)
		}
	}
	p.now = r.opt.Now()
	t := translate(p)
	return r.tell(ctx, &rsc, ws, root, &p, t)
}

// store finds what the resource refers to. waits says why nothing can be tried, if
// that is worth telling; no root and no reason: it is being opened.
func (r *RecoverySidecarReconciler) store(ctx context.Context, rsc *v1alpha1.RecoverySidecar) (*v1alpha1.WALStore, *Root, *finding, error) {
	var ws v1alpha1.WALStore
	key := client.ObjectKey{Namespace: rsc.Namespace, Name: rsc.Spec.StoreRef.Name}
	err := r.Get(ctx, key, &ws)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil, found(cObserved, v1alpha1.ReasonStoreMissing, "WALStore %s does not exist: make it, or delete this RecoverySidecar; no object was touched", key), nil
	case err != nil:
		return nil, nil, nil, err
	}
	if s := suspended(&ws, r.opt.Now()); s != nil {
		return &ws, nil, found(cObserved, v1alpha1.ReasonSuspended, "WALStore %s is %s", key, s), nil
	}
	root := r.roots.Get(ws.UID)
	if root == nil && holds(ws.Status.Conditions, v1alpha1.ConditionStalled) {
		return &ws, nil, notReady(&ws), nil
	}
	return &ws, root, nil, nil
}

// notReady: nothing is written to this store's root for now.
func notReady(ws *v1alpha1.WALStore) *finding {
	return found(cObserved, v1alpha1.ReasonStoreNotReady, "WALStore %s cannot be worked on: see its conditions", client.ObjectKeyFromObject(ws))
}

// recover is one pass of the library.
func (r *RecoverySidecarReconciler) recover(ctx context.Context, root *Root, rsc *v1alpha1.RecoverySidecar, ws *v1alpha1.WALStore, p *pass) {
	ctx, cancel := context.WithTimeout(ctx, r.opt.PassTimeout)
	defer cancel()
	key := rsc.Spec.Key
	known, err := r.whose(ctx, root, rsc)
	if err != nil {
		p.err = err
		return
	}
	var forward recovery.RollForwardOnly
	if known.writer != "" {
		forward, p.verdict = r.streams.Permit(root, known, known.first)
	}
	p.report, p.err = root.Recoverer.RecoverRead(ctx, key, known.sidecar, authority(ws.Spec.Recovery, p.closed, rsc.Spec.Approval, forward, r.opt.Leads))
	if root.away.note(p.err, r.opt.Now()) {
		r.stores.up(root.Store, normal, 0)
	}
	if p.report.Fenced {
		r.meters.fences.Inc()
	}
	if p.err == nil && p.report.Gone {
		p.ended, p.err = ended(ctx, root, p.report.Operation)
	}
	if p.report.Fenced || p.report.Outcome != nil {
		r.streams.Learned(root)
	}
	if p.report.Complete {
		r.ledger.done(root.UID, key)
		if s := p.report.Sidecar; s != nil {
			r.streams.Refresh(root, s.Writer)
		}
	}
}

// whose finds the writer of the operation: from memory, or from the object. One
// that is gone or cannot be read is nobody's: Recover says so.
func (r *RecoverySidecarReconciler) whose(ctx context.Context, root *Root, rsc *v1alpha1.RecoverySidecar) (pending, error) {
	key, now := rsc.Spec.Key, r.opt.Now()
	known := r.ledger.note(root.UID, pending{key: key, name: nameOf(rsc)}, now)
	if known.writer != "" {
		return known, nil
	}
	s, err := recovery.Get(ctx, root.Bucket, key)
	switch {
	case err == nil:
		return r.ledger.note(root.UID, pending{key: key, writer: s.Writer, operation: s.Operation, sidecar: s}, now), nil
	case errors.Is(err, objstore.ErrNotFound), recovery.IsUnreadable(err):
		return known, nil
	default:
		return known, fmt.Errorf("read %s: %w", key, err)
	}
}

// ended looks up an operation whose object is gone.
func ended(ctx context.Context, root *Root, op manifest.OperationID) (*ending, error) {
	st, err := root.Manifest.Latest(ctx)
	if err != nil {
		return nil, err
	}
	var e ending
	var since audit.Head
	if o, ok := st.Outcome(op); ok {
		e.outcome = &o
		b, err := root.Manifest.Batch(ctx, o.Version)
		if err != nil {
			return nil, err
		}
		since = audit.Head{Number: b.Head.Number, Hash: b.Head.Hash}
	}
	row, there, err := root.Trail.Find(ctx, string(op), since)
	if err != nil {
		return nil, fmt.Errorf("look for the audit row of operation %s: %w", op, err)
	}
	if there {
		e.row = &row
	}
	return &e, nil
}

// tell writes the status if it says something new, and lets events and metrics
// follow what was written.
func (r *RecoverySidecarReconciler) tell(ctx context.Context, rsc *v1alpha1.RecoverySidecar, ws *v1alpha1.WALStore, root *Root, p *pass, t told) (ctrl.Result, error) {
	log := logr.FromContextOrDiscard(ctx)
	if p.report.Gone && t.outcome != "" {
		// Another process may have finished it and told more about it.
		var now v1alpha1.RecoverySidecar
		if err := r.live.Get(ctx, nameOf(rsc), &now); err != nil || holds(now.Status.Conditions, cComplete) {
			return ctrl.Result{RequeueAfter: jitter(t.after)}, client.IgnoreNotFound(err)
		}
	}
	if !sameSidecarStatus(rsc.Status, t.status) {
		if err := applyStatus(ctx, r.Client, v1alpha1.KindRecoverySidecar, rsc, t.status); err != nil {
			return ctrl.Result{}, fmt.Errorf("write the status: %w", err)
		}
		if holds(t.status.Conditions, cComplete) {
			r.done.wrote(rsc)
		}
	}
	for _, n := range t.events {
		r.events.Eventf(rsc, related(ws), eventType(n.warning), n.reason, n.action, "%s", n.message)
	}
	if t.failure != "" {
		r.meters.failures.WithLabelValues(t.failure).Inc()
	}
	if t.outcome != "" {
		took := p.now.Sub(p.detected)
		r.meters.recovered(t.outcome, took)
		log.Info("recovered", "store", rsc.Spec.StoreRef.Name, "operation", p.report.Operation, "outcome", t.outcome, "took", took.String())
	}
	if root != nil {
		if p.report.Complete {
			r.results.note(root, p, t)
		}
		r.stores.up(root.Store, normal, r.opt.StatusEvery)
	}
	return ctrl.Result{RequeueAfter: t.after}, nil
}

// sameSidecarStatus reports whether writing b over a would tell nobody anything.
func sameSidecarStatus(a, b v1alpha1.RecoverySidecarStatus) bool {
	if !sameWords(a.Conditions, b.Conditions) {
		return false
	}
	// The same words with another request id in the message are not news.
	a.Conditions, b.Conditions = nil, nil
	a.Message, b.Message = "", ""
	return equality.Semantic.DeepEqual(a, b)
}

func related(ws *v1alpha1.WALStore) *corev1.ObjectReference {
	if ws == nil {
		return nil
	}
	return &corev1.ObjectReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: v1alpha1.KindWALStore,
		Namespace: ws.Namespace, Name: ws.Name, UID: ws.UID,
	}
}

func eventType(warning bool) string {
	if warning {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}
