// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance/rollout"
)

// reasons of a change, by what it waits for or does.
var changeReasons = map[rollout.Why]string{
	rollout.WhySettled: v1alpha1.ReasonWorkloadAsIs, rollout.WhySuspended: v1alpha1.ReasonSuspended,
	rollout.WhyLocked: v1alpha1.ReasonLocked, rollout.WhyWindow: v1alpha1.ReasonWindowClosed, rollout.WhyGrowing: v1alpha1.ReasonProgressing,
	rollout.WhyDraining: v1alpha1.ReasonPodDraining, rollout.WhyCannotDrain: v1alpha1.ReasonPodCannotDrain,
	rollout.WhyRemoving: v1alpha1.ReasonPodRemoving, rollout.WhyFencing: v1alpha1.ReasonWriterFencing,
	rollout.WhyReplacing: v1alpha1.ReasonPodReplacing, rollout.WhyNotReady: v1alpha1.ReasonPodNotReady,
	rollout.WhyStopped: v1alpha1.ReasonRolloutStopped, rollout.WhyUnobserved: v1alpha1.ReasonProgressing,
}

// works: pods are being changed, and that goes on by itself.
func (c change) works() bool {
	switch c.next.Why {
	case "", rollout.WhySettled, rollout.WhySuspended, rollout.WhyStopped:
		return false
	default:
		return true
	}
}

func (c change) words() string {
	s := c.next.Says
	if c.pod != "" {
		s = "pod " + c.pod + ": " + s
	}
	return s
}

// changing says what is being done to the pods. A change that was asked for speaks
// before a node that goes.
func (v view) changing() condition {
	const t = v1alpha1.ConditionChanging
	c := v.change
	switch {
	case c.next.Why != "" && c.next.Why != rollout.WhySettled && c.next.Why != rollout.WhySuspended:
		return isTrue(t, changeReasons[c.next.Why], c.words())
	case len(c.leaving) > 0:
		return isTrue(t, v1alpha1.ReasonNodeLeaving, strings.Join(c.leaving, "; "))
	case v.suspended != nil:
		return isFalse(t, v1alpha1.ReasonSuspended, v.suspended.String()+": the pods are left as they are")
	case v.managed && c.next.Why == "":
		return unknown(t, v1alpha1.ReasonNotObserved, "not looked at: what comes before it does not hold")
	default:
		return isFalse(t, v1alpha1.ReasonWorkloadAsIs, "no pod is being drained, replaced or removed")
	}
}

// drainable says whether a node with one of the pods can be drained.
func (v view) drainable() condition {
	c := v.stepCondition(v1alpha1.ConditionDrainable, v.budgets, v1alpha1.ReasonBudgetAllows, "one pod at a time may be evicted; it publishes first what it has acknowledged")
	if v.change.blind && v.budgets.bad == nil && v.budgets.ok {
		c.Message = fmt.Sprintf("%s; the operator may not watch nodes, so pods on a node that is cordoned are not asked ahead (config/rbac/nodes)", c.Message)
	}
	return c
}
