// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
)

// manifestEvery is how often the newest manifest version is remembered while
// nothing else changes: a busy store publishes all the time.
const manifestEvery = time.Minute

// status says what is known, in at most one request: nothing when nothing changed,
// and what is no news for a condition at most once a second. It returns when to
// come back for what was held back.
func (r *WALStoreReconciler) status(ctx context.Context, ws *v1alpha1.WALStore, root *Root, m *memory, load workload, mend mending) (time.Duration, error) {
	st := ws.Status.DeepCopy()
	v := view{
		suspended: suspended(ws, r.opt.Now()), listed: m.listed,
		claimed: m.opening.claimed, probed: m.opening.probed, audited: m.opening.audited,
	}
	var sum summary
	if root != nil {
		sum = r.streams.Summary(root)
		v.lock = root.Manifest.View().Lock
		st.Lock = lockStatus(v.lock)
		r.root2status(st, root)
		if root.away.is() != nil && v.claimed.bad == nil {
			v.claimed = step{bad: rootFinding(root.away.is())}
		}
	}
	var changes time.Time
	st.Window, changes, v.windows = windowStatus(ws, r.opt.Now())
	v.workload = load.available(sum, root != nil)
	v.change, v.budgets, v.managed = load.change, load.budgets, ws.Spec.Managed != nil
	v.heard, v.isolation = sum.heard, sum.isolation
	v.poisoned, v.nearly = ailments(sum.poisoned, mend, ws.Namespace), mend.nearly
	if mend.restarts != nil {
		st.Restarts = mend.restarts
	}
	st.Writers = &v1alpha1.WritersStatus{
		Expected: load.expected, Registered: int32(sum.registered), Streaming: int32(sum.streaming),
		Summary: fmt.Sprintf("%d/%d", sum.streaming, load.expected),
	}
	if root != nil {
		st.Writers.Logs = logs(r.streams.Words(root))
	}
	if err := r.count(ctx, ws, root, &v, st); err != nil {
		return 0, err
	}
	last, head := r.results.of(ws.UID)
	if last != nil {
		st.LastRecovery = last
	}
	if head != nil && (st.Audit == nil || st.Audit.HeadNumber < head.HeadNumber) {
		st.Audit = head
	}
	st.ObservedGeneration = ws.Generation
	st.Conditions = dated(ws.Status.Conditions, readiness(v), v1alpha1.WALStoreConditions, ws.Generation, r.opt.Now())
	r.meters.ready.WithLabelValues(ws.Namespace, ws.Name).Set(gauge(holds(st.Conditions, v1alpha1.ConditionReady)))
	r.meters.pending.WithLabelValues(ws.Namespace, ws.Name).Set(float64(v.pending))
	r.tellOfPoison(ws, v, sum.fullest)
	after, err := r.write(ctx, ws, st, m)
	for _, d := range []time.Duration{load.change.look(), mend.look()} {
		if d > 0 && (after == 0 || d < after) {
			after = d
		}
	}
	if d := changes.Sub(r.opt.Now()); !changes.IsZero() && (after == 0 || d < after) {
		after = max(d, time.Second)
	}
	return after, err
}

// root2status remembers which store the root is and how far it had come.
func (r *WALStoreReconciler) root2status(st *v1alpha1.WALStoreStatus, root *Root) {
	now := root.Manifest.View()
	st.Root = &v1alpha1.RootStatus{
		UID: now.Store, Generation: int64(now.Generation), ManifestVersion: int64(now.Version), ManifestDigest: now.Digest,
	}
	if h := now.Head; h.Number > 0 && (st.Audit == nil || st.Audit.HeadNumber < int64(h.Number)) {
		st.Audit = &v1alpha1.AuditStatus{HeadNumber: int64(h.Number), HeadHash: h.Hash}
	}
}

func lockStatus(l *manifest.Lock) *v1alpha1.LockStatus {
	if l == nil {
		return nil
	}
	at := func(t time.Time) metav1.Time { return metav1.NewTime(t.UTC().Truncate(time.Second)) }
	return &v1alpha1.LockStatus{
		Owner: l.Owner, Mode: string(l.Mode), Reason: clip(l.Reason), Since: at(l.Since), Until: at(l.Until), Version: int64(l.Version),
	}
}

// count sums up the RecoverySidecars, and lets go of those beyond the newest.
func (r *WALStoreReconciler) count(ctx context.Context, ws *v1alpha1.WALStore, root *Root, v *view, st *v1alpha1.WALStoreStatus) error {
	all, err := r.resources(ctx, ws)
	if err != nil {
		return err
	}
	for i := range all {
		c := all[i].Status.Conditions
		observed, _ := find(c, cObserved)
		switch {
		case holds(c, cComplete), observed.Reason == v1alpha1.ReasonSidecarGone:
			continue // done, or applied by hand for nothing
		case holds(c, cStalled):
			v.stalled++
		case holds(c, cApproval):
			v.approvals++
		}
		v.pending++
	}
	if v.listed.ok || v.pending > 0 {
		st.PendingSidecars = new(int32(v.pending))
	}
	if root == nil || suspended(ws, r.opt.Now()) != nil {
		return nil
	}
	for _, rsc := range oldest(all, r.opt.RetainMost) {
		if err := remove(ctx, r.Client, r.ledger, root, &rsc, r.opt.Now()); err != nil {
			return err
		}
	}
	return nil
}

// write sends a status that differs from the one that is there.
func (r *WALStoreReconciler) write(ctx context.Context, ws *v1alpha1.WALStore, st *v1alpha1.WALStoreStatus, m *memory) (time.Duration, error) {
	now := r.opt.Now()
	news := !sameWords(ws.Status.Conditions, st.Conditions) || ws.Status.ObservedGeneration != st.ObservedGeneration ||
		!slices.Equal(ws.Status.Restarts, st.Restarts) // nothing is done before it is written down
	if !news {
		if sameNumbers(&ws.Status, st) && sameProgress(ws.Status.Conditions, st.Conditions) {
			return 0, nil
		}
		every := r.opt.StatusEvery
		if onlyManifest(&ws.Status, st) && sameProgress(ws.Status.Conditions, st.Conditions) {
			every = manifestEvery
		}
		if left := m.written.Add(every).Sub(now); left > 0 {
			return left, nil
		}
	}
	m.written, m.wrote, m.over = now, st, ws.ResourceVersion
	if err := applyStatus(ctx, r.Client, v1alpha1.KindWALStore, ws, st); err != nil {
		m.wrote = nil
		return 0, fmt.Errorf("write the status: %w", err)
	}
	was, _ := find(ws.Status.Conditions, v1alpha1.ConditionReady)
	is, _ := find(st.Conditions, v1alpha1.ConditionReady)
	if was.Status != is.Status && is.Status == "True" {
		m.settled("OpenRoot")
		m.settled("Apply")
		r.events.Eventf(ws, nil, eventType(false), "Ready", "Observe", "%s", is.Message)
	}
	return 0, nil
}

// sameNumbers compares what a status says beside its conditions, and beside positions of
// logs: those move all the time, and go along with the next write.
func sameNumbers(a, b *v1alpha1.WALStoreStatus) bool {
	x, y := a.DeepCopy(), b.DeepCopy()
	x.Conditions, y.Conditions = nil, nil
	for _, w := range []*v1alpha1.WritersStatus{x.Writers, y.Writers} {
		if w != nil {
			w.Logs = nil
		}
	}
	return equality.Semantic.DeepEqual(x, y)
}

// sameProgress compares the messages that say who is waited for.
func sameProgress(a, b []metav1.Condition) bool {
	for _, t := range []string{v1alpha1.ConditionChanging, v1alpha1.ConditionDrainable, v1alpha1.ConditionPoisoned} {
		x, _ := find(a, t)
		y, _ := find(b, t)
		if x.Message != y.Message {
			return false
		}
	}
	return true
}

// onlyManifest: nothing but the manifest's version moved.
func onlyManifest(a, b *v1alpha1.WALStoreStatus) bool {
	x, y := a.DeepCopy(), b.DeepCopy()
	if x.Root == nil || y.Root == nil || x.Root.UID != y.Root.UID || x.Root.Generation != y.Root.Generation {
		return false
	}
	x.Root, y.Root = nil, nil
	return sameNumbers(x, y)
}
