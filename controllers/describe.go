// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// describe copies what the report says of the operation into the status.
func (p pass) describe(st *v1alpha1.RecoverySidecarStatus) {
	r := p.report
	if st.Timing == nil {
		st.Timing = &v1alpha1.TimingStatus{}
	} else {
		st.Timing = st.Timing.DeepCopy()
	}
	if st.Timing.DetectedAt == nil {
		st.Timing.DetectedAt = microTime(p.detected)
	}
	if s := r.Sidecar; s != nil {
		describeSidecar(st, s)
	}
	// How far it had come when it was found: a pass that finds its own outcome, or
	// another's, does not change that.
	if r.Phase != "" && (st.Phase == "" || r.Phase != recovery.PhaseDecided) {
		st.Phase = string(r.Phase)
	}
	if r.Class != recovery.ClassInvalid {
		st.Class = r.Class.String()
	}
	if r.Verdict.Decision != recovery.DecisionInvalid {
		st.Decision, st.Reason, st.Message = r.Verdict.Decision.String(), string(r.Verdict.Reason), clip(r.Verdict.Message)
	}
	if r.Verdict.Decision != recovery.DecisionInvalid || p.err != nil {
		st.Disposition = string(r.Disposition(p.err))
	}
	if p.waits == nil && p.err == nil {
		st.Plan = planStatus(r)
	}
	if o := outcomeStatus(r.Outcome); o != nil {
		st.Outcome = o
	}
	if a := rowStatus(r.Row); a != nil {
		st.Audit = a
	}
}

// planStatus says what would undo the operation; what was done keeps the plan it was
// done by.
func planStatus(r recovery.Report) *v1alpha1.PlanStatus {
	if r.Plan == nil {
		return nil
	}
	p := &v1alpha1.PlanStatus{Hash: string(r.PlanHash), Reason: string(r.Plan.Reason), TableCount: int32(len(r.Plan.Tables))}
	p.Action = fmt.Sprintf("make what readers saw before operation %s the newest version again, in %d tables", r.Plan.Operation, p.TableCount)
	for _, t := range r.Plan.Tables[:min(len(r.Plan.Tables), v1alpha1.MaxTables)] {
		row := v1alpha1.PlannedTableStatus{Name: string(t.Table)}
		if !t.Head.IsZero() {
			row.Head = t.Head.String()
		}
		if !t.Pin.IsZero() {
			row.Restores = t.Pin.Ref.String()
		}
		p.Tables = append(p.Tables, row)
	}
	return p
}

func planHash(p *v1alpha1.PlanStatus) string {
	if p == nil {
		return ""
	}
	return p.Hash
}

func describeSidecar(st *v1alpha1.RecoverySidecarStatus, s *recovery.Sidecar) {
	st.Writer = &v1alpha1.WriterStatus{ID: string(s.Writer), Epoch: int64(s.Epoch.Number), Process: string(s.Epoch.Process)}
	st.Kind = string(s.Kind)
	st.Base = new(int64(s.Base))
	st.Timing.StartedAt = microTime(s.Started)
	st.TableCount = int32(len(s.Tables))
	st.Tables = nil
	for _, t := range s.Tables[:min(len(s.Tables), v1alpha1.MaxTables)] {
		row := v1alpha1.TableStatus{Name: string(t.Table)}
		if !t.Expected.IsZero() {
			row.Expected = t.Expected.String()
		}
		if !t.Drop {
			row.Planned = manifest.Ref{Number: t.Number, Operation: s.Operation}.String()
		}
		st.Tables = append(st.Tables, row)
	}
}

func (p pass) resolved() condition {
	o := p.report.Outcome
	switch {
	case o != nil:
		return isTrue(cResolved, resolvedReason(*o), fmt.Sprintf("%s in manifest %d by %s", o.Kind, o.Version, o.By.Role))
	case p.report.Complete:
		return isTrue(cResolved, string(p.report.Verdict.Reason), p.report.Verdict.Message)
	default:
		return isFalse(cResolved, v1alpha1.ReasonNotDecided, "no entry in the manifest decides the operation yet")
	}
}

func (p pass) audited() condition {
	switch r := p.report; {
	case r.Row != nil:
		return isTrue(cAudited, v1alpha1.ReasonRowReadBack, fmt.Sprintf("row %d in object %d", r.Row.ID, r.Row.Batch))
	case r.Complete:
		return isTrue(cAudited, v1alpha1.ReasonNoRowNeeded, "nothing happened that the audit trail has to record")
	default:
		return isFalse(cAudited, v1alpha1.ReasonRowMissing, "the operation has no row yet")
	}
}

// heal dates the outcome; the first one stands.
func (p pass) heal(st *v1alpha1.RecoverySidecarStatus) {
	if st.Timing.HealedAt == nil {
		st.Timing.HealedAt = microTime(p.now)
	}
}

// outcomeLabel says in a word what became of an operation.
func outcomeLabel(r recovery.Report) string {
	if r.Plan != nil { // this pass carried it out
		return "RolledBack"
	}
	switch r.Verdict.Decision {
	case recovery.RollForward:
		return "RolledForward"
	case recovery.Abandon:
		return "Abandoned"
	case recovery.Discard:
		return "Discarded"
	default:
		return "Converged"
	}
}

func resolvedReason(o manifest.Outcome) string {
	switch o.Kind {
	case manifest.KindPublish:
		return v1alpha1.ReasonPublished
	case manifest.KindRollBack:
		return v1alpha1.ReasonRolledBack
	default:
		return v1alpha1.ReasonAbandoned
	}
}

func outcomeStatus(o *manifest.Outcome) *v1alpha1.OutcomeStatus {
	if o == nil {
		return nil
	}
	return &v1alpha1.OutcomeStatus{Kind: string(o.Kind), ManifestVersion: int64(o.Version), PublishedBy: string(o.By.Role)}
}

func rowStatus(r *audit.Row) *v1alpha1.AuditRowStatus {
	if r == nil {
		return nil
	}
	return &v1alpha1.AuditRowStatus{ID: int64(r.ID), Number: int64(r.Batch), Hash: r.Hash}
}

func microTime(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	m := metav1.NewMicroTime(t.UTC().Truncate(time.Microsecond))
	return &m
}

// clip bounds a message of the status.
func clip(s string) string {
	if len(s) <= messageMost {
		return s
	}
	return s[:messageMost] + " ..."
}
