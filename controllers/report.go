// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"time"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/detect"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// pass is what one look at one RecoverySidecar came to: all that the translator
// looks at.
type pass struct {
	before     v1alpha1.RecoverySidecarStatus
	generation int64
	now        time.Time
	detected   time.Time
	// byHand: somebody else than this operator made the resource.
	byHand bool

	// waits: nothing was tried, for this reason.
	waits *finding
	// approved is the plan that somebody has approved; empty: none.
	approved string
	// planOnly: the store's mode is to say what would be done, and to do nothing.
	planOnly bool
	// closed: a roll-back that would be automatic waits for the store's next window,
	// which opens then.
	closed bool
	opens  time.Time
	// Of a pass that tried: the library's report and error, and what detect said
	// of the writer.
	report  recovery.Report
	err     error
	verdict detect.Verdict
	// ended is what is known of an operation whose object is gone.
	ended *ending

	// attempts bounds failures; backoff is the pause after the nth.
	attempts int
	backoff  func(n int) time.Duration
	retain   time.Duration
}

// ending is what the manifest and the trail say of an operation whose object is gone.
type ending struct {
	outcome *manifest.Outcome
	row     *audit.Row
}

// told is what everybody hears of a pass.
type told struct {
	status v1alpha1.RecoverySidecarStatus
	events []note
	// outcome is the label of the metrics; empty: nothing was finished.
	outcome string
	// failure is the label of the metrics; empty: nothing failed.
	failure string
	// after asks for another pass; zero: only something new does.
	after time.Duration
}

// note is one event, from a fixed catalogue.
type note struct {
	warning        bool
	reason, action string
	message        string
}

// translate is the one place that makes conditions, events, metrics and the next
// look out of a report or an error. It is pure.
func translate(p pass) told {
	t := told{status: p.before}
	t.status.Conditions = nil
	p.describe(&t.status)
	var said []condition
	switch {
	case p.waits != nil:
		said = p.waiting(&t)
	case p.err != nil:
		said = p.failed(&t)
	case p.report.Gone:
		said = p.gone(&t)
	case p.report.Complete:
		said = p.complete(&t)
	case p.report.NeedsApproval:
		said = p.approval(&t)
	case p.report.Verdict.Decision == recovery.Refuse:
		said = p.refused(&t)
	case p.planOnly && p.report.Verdict.Decision != recovery.Defer:
		said = p.planned(&t)
	default:
		said = p.deferred(&t)
	}
	t.status.ObservedGeneration = p.generation
	t.status.Conditions = dated(p.before.Conditions, said, v1alpha1.RecoverySidecarConditions, p.generation, p.now)
	return t
}

const (
	cObserved  = v1alpha1.ConditionObserved
	cResolved  = v1alpha1.ConditionResolved
	cAudited   = v1alpha1.ConditionAudited
	cComplete  = v1alpha1.ConditionComplete
	cApproval  = v1alpha1.ConditionNeedsApproval
	cWorking   = v1alpha1.ConditionReconciling
	cStalled   = v1alpha1.ConditionStalled
	pendingMsg = "something is left to do"
)

// calm are the conditions of which nothing is wrong.
func calm() []condition {
	return []condition{
		isFalse(cApproval, v1alpha1.ReasonNotNeeded, "nothing here needs approval"),
		isFalse(cWorking, v1alpha1.ReasonSettled, "there is nothing to do"),
		isFalse(cStalled, v1alpha1.ReasonSettled, "nothing waits for a person"),
	}
}

func (p pass) read() condition {
	if p.report.Sidecar != nil {
		return isTrue(cObserved, v1alpha1.ReasonSidecarRead, "the object was read and the store looked at")
	}
	return isFalse(cObserved, string(p.report.Verdict.Reason), p.report.Verdict.Message)
}

func (p pass) waiting(t *told) []condition {
	f := p.waits
	t.status.Reason, t.status.Message = f.Reason, f.Message
	said := append([]condition{isFalse(cComplete, f.Reason, f.Message)}, calm()...)
	if f.Final {
		return set(said, isTrue(cStalled, f.Reason, f.Message))
	}
	return set(said, isTrue(cWorking, f.Reason, f.Message))
}

// failed: a request failed or its answer was lost. The sidecar is kept.
func (p pass) failed(t *told) []condition {
	t.status.Attempts++
	reason := v1alpha1.ReasonRequestFailed
	message := short(p.err)
	final := false
	if isAudit(p.err) {
		f := auditFinding(p.err)
		reason, final = f.Reason, f.Final
	}
	spent := int(t.status.Attempts) >= p.attempts
	t.status.Reason, t.status.Message = reason, message
	t.failure = reason
	t.after = p.backoff(int(t.status.Attempts))
	observed := unknown(cObserved, reason, message)
	if p.report.Sidecar != nil {
		observed = isTrue(cObserved, v1alpha1.ReasonSidecarRead, "the object was read and the store looked at")
	}
	said := append([]condition{observed, p.resolved(), p.audited(), isFalse(cComplete, v1alpha1.ReasonPending, pendingMsg)}, calm()...)
	if final || spent {
		if spent && !final {
			message = fmt.Sprintf("failed %d times: %s: look at the WALStore's conditions and at the object store; it is tried again with each sweep", t.status.Attempts, message)
		}
		t.after = 0
		if !holds(p.before.Conditions, cStalled) {
			t.events = append(t.events, note{true, "RecoveryStalled", "Recover", message})
		}
		return set(said, isTrue(cStalled, reason, message))
	}
	return set(said, isTrue(cWorking, reason, message))
}

// deferred: not now. The writer has it, or races were lost.
func (p pass) deferred(t *told) []condition {
	v := p.report.Verdict
	if v.Reason == recovery.ReasonWriterLive {
		if !p.verdict.Again.IsZero() {
			t.after = max(p.verdict.Again.Sub(p.now), 10*time.Millisecond)
		}
		t.status.Message = v.Message + p.hold()
	} else {
		t.status.Attempts++
		t.after = p.backoff(int(t.status.Attempts))
		t.failure = string(v.Reason)
	}
	said := append([]condition{p.read(), isFalse(cResolved, string(v.Reason), t.status.Message),
		isFalse(cAudited, v1alpha1.ReasonRowMissing, "not decided yet"), isFalse(cComplete, v1alpha1.ReasonPending, pendingMsg)}, calm()...)
	return set(said, isTrue(cWorking, string(v.Reason), t.status.Message))
}

// hold says why an epoch was not ended although its writer is not known to live.
func (p pass) hold() string {
	switch p.verdict.Held {
	case detect.HoldIsolated:
		return "; its stream is lost with many others, so it is not fenced before its pod or node shows its death"
	case detect.HoldRate:
		return "; it was fenced a moment ago and is not fenced again so soon"
	case detect.HoldYoung:
		return "; no pod of it is seen, and it is fenced when that has lasted"
	default:
		return ""
	}
}

// refused: loud, kept, and looked at again only when something changes.
func (p pass) refused(t *told) []condition {
	v := p.report.Verdict
	if !holds(p.before.Conditions, cStalled) || p.before.Reason != string(v.Reason) {
		t.status.Attempts++
		t.events = append(t.events, note{true, "RecoveryRefused", "Recover", v.Message})
		t.failure = string(v.Reason)
	}
	said := append([]condition{p.read(), isFalse(cResolved, string(v.Reason), v.Message),
		isFalse(cAudited, v1alpha1.ReasonRowMissing, "not decided"), isFalse(cComplete, v1alpha1.ReasonPending, pendingMsg)}, calm()...)
	return set(said, isTrue(cStalled, string(v.Reason), v.Message))
}

// planned: the store's mode is Plan, and this is what it would do.
func (p pass) planned(t *told) []condition {
	v := p.report.Verdict
	message := fmt.Sprintf("%s: %s; spec.recovery.mode of the WALStore is Plan, so nothing was done", v.Decision, v.Message)
	return append([]condition{p.read(), isFalse(cResolved, string(v.Reason), v.Message),
		isFalse(cAudited, v1alpha1.ReasonRowMissing, "not decided"), isFalse(cComplete, v1alpha1.ReasonPlanOnly, message)}, calm()...)
}

// approval: it needs a person's word. A plan that is another than the one that was
// told before is told again.
func (p pass) approval(t *told) []condition {
	v := p.report.Verdict
	if !holds(p.before.Conditions, cApproval) || planHash(p.before.Plan) != planHash(t.status.Plan) {
		t.status.Attempts++
		t.events = append(t.events, note{true, "ApprovalNeeded", "Recover", v.Message})
		t.failure = string(v.Reason)
	}
	if now := planHash(t.status.Plan); p.approved != "" && p.approved != now {
		v.Message += fmt.Sprintf("; approved is plan %s, but the state has changed and its plan is %s: look at it and approve that", p.approved, now)
		t.status.Message = clip(v.Message)
	}
	said := append([]condition{p.read(), isFalse(cResolved, string(v.Reason), v.Message),
		isFalse(cAudited, v1alpha1.ReasonRowMissing, "not decided"), isFalse(cComplete, v1alpha1.ReasonPending, pendingMsg)}, calm()...)
	if p.closed {
		opens := "no window of the store ever opens"
		if !p.opens.IsZero() {
			opens = "the store's next window opens at " + p.opens.UTC().Format(time.RFC3339)
			t.after = max(p.opens.Sub(p.now), time.Second)
		}
		return set(said, isTrue(cWorking, v1alpha1.ReasonWindowClosed, opens+"; it is undone then, or when it is approved"))
	}
	return set(said, isTrue(cApproval, string(v.Reason), v.Message))
}

// complete: decided, audited, cleaned up.
func (p pass) complete(t *told) []condition {
	t.status.Attempts++
	t.outcome = outcomeLabel(p.report)
	t.after = p.retain
	p.heal(&t.status)
	message := fmt.Sprintf("%s: %s", t.outcome, p.report.Verdict.Message)
	t.events = append(t.events, note{false, "Recovered", "Recover", message})
	return append([]condition{p.read(), p.resolved(), p.audited(), isTrue(cComplete, v1alpha1.ReasonHealed, message)}, calm()...)
}

// gone: the object was not there. Somebody finished before us, or there never was one.
func (p pass) gone(t *told) []condition {
	e := p.ended
	gone := isFalse(cObserved, v1alpha1.ReasonSidecarGone, "the object is not there")
	t.status.Outcome = outcomeStatus(e.outcome)
	if t.status.Outcome == nil {
		t.status.Outcome = p.before.Outcome
	}
	t.status.Audit = rowStatus(e.row)
	switch {
	case e.row == nil && e.outcome != nil && e.outcome.By.Role == manifest.RoleRecovery:
		message := fmt.Sprintf("recovery decided the operation in manifest %d and its sidecar is gone, but the audit trail has no row of it: run `salvor audit verify`", e.outcome.Version)
		said := append([]condition{gone, isTrue(cResolved, resolvedReason(*e.outcome), "decided"),
			isFalse(cAudited, v1alpha1.ReasonRowMissing, message), isFalse(cComplete, v1alpha1.ReasonRowMissing, message)}, calm()...)
		t.status.Reason, t.status.Message = v1alpha1.ReasonRowMissing, message
		return set(said, isTrue(cStalled, v1alpha1.ReasonRowMissing, message))
	case e.row == nil && e.outcome == nil && p.byHand:
		message := "there is no such object in the root, and nothing is known of the operation: nothing was done"
		t.status.Reason, t.status.Message = v1alpha1.ReasonSidecarGone, message
		return append([]condition{isFalse(cObserved, v1alpha1.ReasonSidecarGone, message), unknown(cResolved, v1alpha1.ReasonSidecarGone, message),
			unknown(cAudited, v1alpha1.ReasonSidecarGone, message), isFalse(cComplete, v1alpha1.ReasonSidecarGone, message)}, calm()...)
	}
	t.outcome, t.after = "AlreadyResolved", p.retain
	p.heal(&t.status)
	message := "somebody finished the operation before"
	resolved := isTrue(cResolved, v1alpha1.ReasonAlreadyResolved, message)
	if e.outcome != nil {
		message = fmt.Sprintf("%s in manifest %d by %s", e.outcome.Kind, e.outcome.Version, e.outcome.By.Role)
		resolved = isTrue(cResolved, resolvedReason(*e.outcome), message)
	}
	audited := isTrue(cAudited, v1alpha1.ReasonNoRowNeeded, "its own writer finished it")
	if e.row != nil {
		audited = isTrue(cAudited, v1alpha1.ReasonRowReadBack, fmt.Sprintf("row %d", e.row.ID))
	}
	t.status.Reason, t.status.Message = v1alpha1.ReasonAlreadyResolved, message
	return append([]condition{gone, resolved, audited, isTrue(cComplete, v1alpha1.ReasonAlreadyResolved, message)}, calm()...)
}

// set replaces a condition of the same type.
func set(said []condition, c condition) []condition {
	for i := range said {
		if said[i].Type == c.Type {
			said[i] = c
			return said
		}
	}
	return append(said, c)
}
