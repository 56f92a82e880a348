// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/maintenance/restart"
)

// ailment is one pod whose log has failed.
type ailment struct {
	pod, says string // says: why, in the process's own words
	// verdict on it; zero: nobody could decide.
	verdict restart.Verdict
	// full says how full its volume is and how it is made larger; empty: that is not why.
	full string
}

// restartReasons of verdicts; for anything else somebody has to look.
var restartReasons = map[restart.Why]string{
	restart.WhyFull: v1alpha1.ReasonVolumeFull, restart.WhySpent: v1alpha1.ReasonRestartsSpent, restart.WhyUnknown: v1alpha1.ReasonLogPoisoned,
	restart.WhyOff: v1alpha1.ReasonRestartsOff, restart.WhyPlan: v1alpha1.ReasonPlanOnly, restart.WhySuspended: v1alpha1.ReasonSuspended,
	restart.WhyRefused: v1alpha1.ReasonEvictionRefused, restart.WhyRestart: v1alpha1.ReasonPodRestarting, restart.WhyEnding: v1alpha1.ReasonPodRestarting,
	restart.WhyUnlisted: v1alpha1.ReasonRestartWaits, restart.WhySettling: v1alpha1.ReasonRestartWaits,
	restart.WhyUnpublished: v1alpha1.ReasonRestartWaits, restart.WhyOther: v1alpha1.ReasonRestartWaits,
}

// worstFirst is the order in which one ailment speaks for all.
var worstFirst = []string{
	v1alpha1.ReasonVolumeFull, v1alpha1.ReasonRestartsSpent, v1alpha1.ReasonLogPoisoned, v1alpha1.ReasonRestartsOff, v1alpha1.ReasonPlanOnly,
	v1alpha1.ReasonSuspended, v1alpha1.ReasonEvictionRefused, v1alpha1.ReasonRestartWaits, v1alpha1.ReasonPodRestarting,
}

func (a ailment) reason() string {
	if reason, ok := restartReasons[a.verdict.Why]; ok {
		return reason
	}
	return v1alpha1.ReasonLogPoisoned
}

// person: nothing goes on until somebody does something.
func (a ailment) person() bool {
	switch a.reason() {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonEvictionRefused, v1alpha1.ReasonRestartWaits, v1alpha1.ReasonPodRestarting:
		return false
	default:
		return true
	}
}

func (a ailment) String() string {
	s := "pod " + a.pod + ": " + a.says
	switch {
	case a.full != "":
		return s + ": " + a.full
	case a.verdict.Says != "":
		return s + ": " + a.verdict.Says
	default:
		return s + ": look at the pod's disk, then restart the pod"
	}
}

// ailments are the pods whose logs have failed, the worst first. It is pure.
func ailments(sick map[string]*control.Status, d mending, namespace string) (out []ailment) {
	for pod, st := range sick {
		a := ailment{pod: pod, says: st.PoisonReason}
		for _, v := range d.verdicts {
			if v.Pod == pod && v.Process == st.Process {
				a.verdict = v
			}
		}
		if a.verdict.Why == restart.WhyFull {
			a.full = fmt.Sprintf("%s; %s: %s", fullness(st.Disk, d.volumes[pod]), a.verdict.Says, resize(namespace, st.Disk, d.volumes[pod]))
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b ailment) int {
		if x, y := slices.Index(worstFirst, a.reason()), slices.Index(worstFirst, b.reason()); x != y {
			return x - y
		}
		return strings.Compare(a.pod, b.pod)
	})
	return out
}

// poison is the condition Poisoned.
func (v view) poison() condition {
	const t = v1alpha1.ConditionPoisoned
	switch {
	case len(v.poisoned) > 0:
		return isTrue(t, v.poisoned[0].reason(), v.poisonMessage())
	case !v.heard:
		return unknown(t, v1alpha1.ReasonNotObserved, "no writer reports")
	case len(v.nearly) > 0:
		return isFalse(t, v1alpha1.ReasonVolumeNearlyFull, upToThree(v.nearly))
	default:
		return isFalse(t, v1alpha1.ReasonLogsHealthy, "no writer that reports has a failed log")
	}
}

func (v view) poisonMessage() string {
	var all []string
	for _, a := range v.poisoned {
		all = append(all, a.String())
	}
	return upToThree(all)
}

func upToThree(all []string) string {
	more := ""
	if len(all) > 3 {
		more = fmt.Sprintf("; and %d more", len(all)-3)
	}
	return strings.Join(all[:min(len(all), 3)], "; ") + more
}

// mends: a pod is being restarted, or will be.
func (v view) mends() bool {
	return slices.ContainsFunc(v.poisoned, func(a ailment) bool { return !a.person() && a.reason() != v1alpha1.ReasonSuspended })
}

// tellOfPoison counts, and tells people once of what they have to do something about.
func (r *WALStoreReconciler) tellOfPoison(ws *v1alpha1.WALStore, v view, fullest float64) {
	r.meters.poisoned.WithLabelValues(ws.Namespace, ws.Name).Set(float64(len(v.poisoned)))
	r.meters.fullest.WithLabelValues(ws.Namespace, ws.Name).Set(fullest)
	if len(v.poisoned) > 0 && v.poisoned[0].reason() != v1alpha1.ReasonPodRestarting {
		r.once(ws, note{true, v.poisoned[0].reason(), "Restart", v.poisoned[0].String()})
	} else if len(v.poisoned) == 0 {
		r.memory(ws).settled("Restart")
	}
	if len(v.nearly) > 0 {
		r.once(ws, note{true, v1alpha1.ReasonVolumeNearlyFull, "Watch", upToThree(v.nearly)})
	} else {
		r.memory(ws).settled("Watch")
	}
}
