// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/controllers"
)

// seenStore is what was read of one store.
type seenStore struct {
	store v1alpha1.WALStore
	// sidecars and maintenances of its namespace that name it.
	sidecars     []v1alpha1.RecoverySidecar
	maintenances []v1alpha1.StoreMaintenance
	pods         []podStatus
	// podsUnknown says why the pods could not be listed.
	podsUnknown string
}

// storeStatus is what is told of one store. Its JSON is stable: fields are added, and
// none is renamed.
type storeStatus struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Standing  standing `json:"status"`
	ExitCode  int      `json:"exitCode"`
	Reason    string   `json:"reason"`
	Message   string   `json:"message"`
	// Also is what else is not as it should be.
	Also      []string        `json:"also,omitempty"`
	Manifest  int64           `json:"manifestVersion,omitempty"`
	Writers   string          `json:"writers,omitempty"`
	Lock      *heldLock       `json:"lock,omitempty"`
	Suspended *suspension     `json:"suspended,omitempty"`
	Pending   []pendingStatus `json:"pending"`
	Pods      []podStatus     `json:"pods"`
	// PodsUnknown says why the pods could not be listed.
	PodsUnknown string      `json:"podsUnknown,omitempty"`
	Oldest      *transition `json:"oldestTransition,omitempty"`
	Next        string      `json:"nextStep"`
}

// heldLock is the write lock, and who asked for it.
type heldLock struct {
	Mode    string    `json:"mode"`
	Owner   string    `json:"owner"`
	AskedBy string    `json:"askedBy,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Over    bool      `json:"over,omitempty"`
	// WaitsFor are the pods that have not drained, with what they wait for.
	WaitsFor []string `json:"waitsFor,omitempty"`
}

type suspension struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// pendingStatus is an operation that is not finished.
type pendingStatus struct {
	Name          string `json:"name"`
	Operation     string `json:"operation"`
	Writer        string `json:"writer,omitempty"`
	Decision      string `json:"decision,omitempty"`
	Reason        string `json:"reason,omitempty"`
	Message       string `json:"message,omitempty"`
	NeedsApproval bool   `json:"needsApproval,omitempty"`
	Stalled       bool   `json:"stalled,omitempty"`
	AgeSeconds    int64  `json:"ageSeconds"`
}

// podStatus is one pod of a store.
type podStatus struct {
	Name     string `json:"name"`
	Ready    bool   `json:"ready"`
	Restarts int32  `json:"restarts,omitempty"`
	// State is what the pod says of itself.
	State string `json:"state,omitempty"`
	// Position is the newest position of its log that is durable; Published the one that
	// readers have. Absent: Unknown says why.
	Position  *int64 `json:"position,omitempty"`
	Published *int64 `json:"published,omitempty"`
	Unknown   string `json:"positionUnknown,omitempty"`
}

// transition is a state that should not last, and how long it has.
type transition struct {
	What       string `json:"what"`
	AgeSeconds int64  `json:"ageSeconds"`
}

// facts are what is there, without a judgement.
func (s seenStore) facts(now time.Time) storeStatus {
	ws := &s.store
	out := storeStatus{Namespace: ws.Namespace, Name: ws.Name, Pending: []pendingStatus{}, Pods: []podStatus{}, PodsUnknown: s.podsUnknown}
	if r := ws.Status.Root; r != nil {
		out.Manifest = r.ManifestVersion
	}
	if w := ws.Status.Writers; w != nil {
		out.Writers = w.Summary
	}
	if p := ws.Spec.Suspend; p.Holds(now) {
		out.Suspended = &suspension{By: p.By, Reason: p.Reason, Until: p.Until.UTC()}
	}
	var oldest transition
	since := func(what string, t time.Time) {
		if age := int64(now.Sub(t) / time.Second); !t.IsZero() && (oldest.What == "" || age > oldest.AgeSeconds) {
			oldest = transition{what, max(age, 0)}
		}
	}
	if l := ws.Status.Lock; l != nil {
		out.Lock = s.held(l, now)
		since("write lock of "+l.Owner, l.Since.Time)
	}
	for i := range s.sidecars {
		if p, pends := pendingOf(&s.sidecars[i], now); pends {
			out.Pending = append(out.Pending, p)
			since("operation "+p.Operation, begun(&s.sidecars[i]))
		}
	}
	slices.SortFunc(out.Pending, func(a, b pendingStatus) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range []string{v1alpha1.ConditionRecovering, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled, v1alpha1.ConditionPoisoned, v1alpha1.ConditionIsolated} {
		if c := apimeta.FindStatusCondition(ws.Status.Conditions, t); c != nil && c.Status == metav1.ConditionTrue {
			since(t+" ("+c.Reason+")", c.LastTransitionTime.Time)
		}
	}
	if c := apimeta.FindStatusCondition(ws.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Status != metav1.ConditionTrue {
		since("not Ready ("+c.Reason+")", c.LastTransitionTime.Time)
	}
	if oldest.What != "" {
		out.Oldest = &oldest
	}
	out.Pods = append(out.Pods, s.pods...)
	for i := range out.Pods {
		s.position(&out.Pods[i])
	}
	slices.SortFunc(out.Pods, func(a, b podStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// held finds who asked for a lock, and whom it waits for.
func (s seenStore) held(l *v1alpha1.LockStatus, now time.Time) *heldLock {
	h := &heldLock{Mode: l.Mode, Owner: l.Owner, Reason: l.Reason, Since: l.Since.UTC(), Until: l.Until.UTC(), Over: !now.Before(l.Until.Time)}
	for i := range s.maintenances {
		m := &s.maintenances[i]
		if controllers.MaintenanceOwner(m) != l.Owner {
			continue
		}
		h.AskedBy = m.Annotations[v1alpha1.AnnotationAskedBy]
		for _, p := range s.of(m) {
			if !p.Acknowledged && l.Mode == "Draining" {
				h.WaitsFor = append(h.WaitsFor, strings.TrimSuffix(fmt.Sprintf("%s (%s)", p.Name, p.WaitsFor), " ()"))
			}
		}
	}
	return h
}

// of are the pods of this store in a maintenance.
func (s seenStore) of(m *v1alpha1.StoreMaintenance) []v1alpha1.MaintainedPod {
	for _, ms := range m.Status.Stores {
		if ms.Name == s.store.Name {
			return ms.Pods
		}
	}
	return nil
}

// position of a pod that did not say it itself is what it acknowledged last.
func (s seenStore) position(p *podStatus) {
	for i := range s.maintenances {
		for _, mp := range s.of(&s.maintenances[i]) {
			if mp.Name == p.Name && p.Position == nil && mp.Position != nil {
				p.Position, p.Unknown = mp.Position, ""
			}
		}
	}
}

func pendingOf(rsc *v1alpha1.RecoverySidecar, now time.Time) (pendingStatus, bool) {
	st := &rsc.Status
	is := func(t string) bool { return apimeta.IsStatusConditionTrue(st.Conditions, t) }
	if c := apimeta.FindStatusCondition(st.Conditions, v1alpha1.ConditionObserved); is(v1alpha1.ConditionComplete) || c != nil && c.Reason == v1alpha1.ReasonSidecarGone {
		return pendingStatus{}, false
	}
	p := pendingStatus{
		Name: rsc.Name, Operation: rsc.Spec.OperationID, Decision: st.Decision, Reason: st.Reason, Message: st.Message,
		NeedsApproval: is(v1alpha1.ConditionNeedsApproval), Stalled: is(v1alpha1.ConditionStalled),
		AgeSeconds: int64(max(now.Sub(begun(rsc)), 0) / time.Second),
	}
	if st.Writer != nil {
		p.Writer = st.Writer.ID
	}
	return p, true
}

// begun is since when an operation waits, as far as anybody knows.
func begun(rsc *v1alpha1.RecoverySidecar) time.Time {
	if t := rsc.Status.Timing; t != nil && t.DetectedAt != nil {
		return t.DetectedAt.Time
	}
	return rsc.CreationTimestamp.Time
}
