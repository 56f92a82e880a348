// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"time"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/detect"
	"github.com/salvor-io/salvor/maintenance/rollout"
	"github.com/salvor-io/salvor/manifest"
)

// view is everything that a WALStore's conditions are made of.
type view struct {
	// suspended: by whom, why and until when; nil: it is not.
	suspended *v1alpha1.Suspension
	// Steps that have to hold, in the order of the walk.
	claimed, probed, audited, workload step
	// listed: the last listing of what is pending.
	listed step
	// pending RecoverySidecars, and how many of them wait for a person.
	pending, stalled, approvals int
	// heard: at least one writer reports; poisoned are those whose log failed.
	heard    bool
	poisoned []ailment // the worst first
	// nearly are the pods whose volumes are nearly full, each in a sentence.
	nearly []string
	// windows that cannot be read.
	windows *finding
	// change of the pods, and whether disruption budgets let them go.
	change  change
	budgets step
	managed bool
	// lock that holds the store.
	lock *manifest.Lock
	// isolation of this operator.
	isolation detect.Isolation
}

// readiness is the one place that says what a WALStore's conditions are. It is
// pure and total; its table test is the specification.
func readiness(v view) []condition {
	return []condition{
		v.ready(),
		v.stepCondition(v1alpha1.ConditionRootClaimed, v.claimed, v1alpha1.ReasonRootClaimed, "the root is claimed by this WALStore"),
		v.stepCondition(v1alpha1.ConditionConditionalWritesVerified, v.probed, v1alpha1.ReasonProbePassed, "the object store refuses a second creation of one name"),
		v.stepCondition(v1alpha1.ConditionWorkloadAvailable, v.workload, v1alpha1.ReasonWritersStreaming, "every writer reports"),
		v.stepCondition(v1alpha1.ConditionAuditReady, v.audited, v1alpha1.ReasonAuditChainGoesOn, "rows can be signed, and the chain goes on from the remembered head"),
		v.recovering(),
		v.poison(),
		v.frozen(),
		v.isolated(),
		v.changing(),
		v.drainable(),
		v.reconciling(),
		v.stalledCondition(),
	}
}

func (v view) steps() []step { return []step{v.claimed, v.probed, v.audited, v.workload} }

// ready: the first thing that is wrong speaks.
func (v view) ready() condition {
	const ready = v1alpha1.ConditionReady
	if v.suspended != nil {
		return isFalse(ready, v1alpha1.ReasonSuspended, v.suspended.String()+": until then nothing is recovered, fenced or published")
	}
	for _, s := range v.steps() {
		if s.bad != nil {
			return isFalse(ready, s.bad.Reason, s.bad.Message)
		}
	}
	switch {
	case len(v.poisoned) > 0:
		return isFalse(ready, v.poisoned[0].reason(), v.poisonMessage())
	case v.listed.bad != nil:
		return isFalse(ready, v.listed.bad.Reason, v.listed.bad.Message)
	case v.stalled > 0:
		return isFalse(ready, v1alpha1.ReasonRecoveryStalled, v.waitingMessage())
	case v.approvals > 0:
		return isFalse(ready, v1alpha1.ReasonApprovalPending, v.waitingMessage())
	case v.isolation.Isolated:
		return isFalse(ready, v1alpha1.ReasonManyStreamsLost, v.isolationMessage())
	}
	for _, s := range append(v.steps(), v.listed) {
		if !s.ok {
			return unknown(ready, v1alpha1.ReasonNotObserved, "not everything was looked at yet")
		}
	}
	return isTrue(ready, v1alpha1.ReasonHealthy, "the root is ours, the writers report, and a crash of any of them heals")
}

func (v view) stepCondition(t string, s step, reason, message string) condition {
	switch {
	case s.bad != nil:
		return isFalse(t, s.bad.Reason, s.bad.Message)
	case s.ok:
		return isTrue(t, reason, message)
	default:
		return unknown(t, v1alpha1.ReasonNotObserved, "not looked at: what comes before it does not hold")
	}
}

func (v view) recovering() condition {
	const t = v1alpha1.ConditionRecovering
	switch {
	case v.pending > 0:
		return isTrue(t, v1alpha1.ReasonOperationsPending, fmt.Sprintf("%d %s", v.pending, plural(v.pending, "operation pends", "operations pend")))
	case v.listed.bad != nil:
		return unknown(t, v.listed.bad.Reason, v.listed.bad.Message)
	case !v.listed.ok:
		return unknown(t, v1alpha1.ReasonNotObserved, "nobody has listed the root yet")
	default:
		return isFalse(t, v1alpha1.ReasonNothingPending, "no operation waits for recovery")
	}
}

func (v view) frozen() condition {
	const t = v1alpha1.ConditionFrozen
	switch {
	case v.lock != nil:
		return isTrue(t, v1alpha1.ReasonLocked, fmt.Sprintf("%s by %s until %s: %s", v.lock.Mode, v.lock.Owner, v.lock.Until.UTC().Format(time.RFC3339), v.lock.Reason))
	case !v.claimed.ok && v.claimed.bad == nil:
		return unknown(t, v1alpha1.ReasonNotObserved, "nobody has read the manifest yet")
	default:
		return isFalse(t, v1alpha1.ReasonNotLocked, "no write lock holds the store")
	}
}

func (v view) isolated() condition {
	if v.isolation.Isolated {
		return isTrue(v1alpha1.ConditionIsolated, v1alpha1.ReasonManyStreamsLost, v.isolationMessage())
	}
	return isFalse(v1alpha1.ConditionIsolated, v1alpha1.ReasonStreamsHealthy, "the operator sees its writers")
}

// stuck is the first thing that only a person can change.
func (v view) stuck() (reason, message string, is bool) {
	for _, s := range append(v.steps(), v.listed) {
		if s.bad != nil && s.bad.Final {
			return s.bad.Reason, s.bad.Message, true
		}
	}
	switch {
	case len(v.poisoned) > 0 && v.poisoned[0].person():
		return v.poisoned[0].reason(), v.poisoned[0].String(), true
	case v.windows != nil:
		return v.windows.Reason, v.windows.Message, true
	case v.change.next.Why == rollout.WhyStopped:
		return v1alpha1.ReasonRolloutStopped, v.change.words(), true
	case v.stalled > 0:
		return v1alpha1.ReasonRecoveryStalled, v.waitingMessage(), true
	case v.approvals > 0:
		return v1alpha1.ReasonApprovalPending, v.waitingMessage(), true
	}
	return "", "", false
}

func (v view) stalledCondition() condition {
	if reason, message, is := v.stuck(); is && v.suspended == nil {
		return isTrue(v1alpha1.ConditionStalled, reason, message)
	}
	return isFalse(v1alpha1.ConditionStalled, v1alpha1.ReasonSettled, "nothing waits for a person")
}

// reconciling: the operator is at work, or will try again by itself.
func (v view) reconciling() condition {
	const t = v1alpha1.ConditionReconciling
	work := v.pending > v.stalled+v.approvals || v.isolation.Isolated || v.change.works() || v.mends()
	for _, s := range append(v.steps(), v.listed) {
		work = work || s.bad != nil && !s.bad.Final
	}
	if _, _, stuck := v.stuck(); !stuck {
		for _, s := range append(v.steps(), v.listed) {
			work = work || !s.ok && s.bad == nil
		}
	}
	if v.suspended != nil || !work {
		return isFalse(t, v1alpha1.ReasonSettled, "there is nothing to do")
	}
	return isTrue(t, v1alpha1.ReasonProgressing, "the operator is at work")
}

func (v view) waitingMessage() string {
	return fmt.Sprintf("%d stalled, %d to approve: `kubectl get rsc -o wide` shows which, and what to do", v.stalled, v.approvals)
}

func (v view) isolationMessage() string {
	return fmt.Sprintf("%d of %d streams are missing since %s: check the operator's own network; meanwhile only writers whose pod or node shows death are fenced",
		v.isolation.Missing, v.isolation.Before, v.isolation.Since.UTC().Format("15:04:05Z"))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
