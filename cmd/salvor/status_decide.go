// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// Exit codes of salvor status beside 0 and 2. The worst of all that is seen wins, and
// the greater is the worse. 11 is also that of salvor locks: exitFrozen.
const (
	exitDegraded = 10
	exitHuman    = 12
)

// standing is where a store stands, in a word.
type standing string

// The standings, worst first: in this order one speaks for a store.
const (
	standsPoisoned   standing = "Poisoned"
	standsStalled    standing = "Stalled"
	standsApproval   standing = "NeedsApproval"
	standsFrozen     standing = "Frozen"
	standsDraining   standing = "Draining"
	standsSuspended  standing = "Suspended"
	standsIsolated   standing = "Isolated"
	standsNotReady   standing = "NotReady"
	standsUnknown    standing = "Unknown"
	standsRecovering standing = "Recovering"
	standsReady      standing = "Ready"
)

// exitCode of a standing.
func (s standing) exitCode() int {
	switch s {
	case standsReady:
		return 0
	case standsFrozen, standsDraining:
		return exitFrozen
	case standsPoisoned, standsStalled, standsApproval:
		return exitHuman
	default:
		return exitDegraded
	}
}

// finding is one thing to say of a store.
type finding struct {
	is              standing
	reason, message string
	next            string
}

// longPending is when what goes on by itself deserves a look all the same.
const longPending = 10 * time.Minute

// judge says where a store stands, why, and the one next step. It is pure and total;
// its table test is the specification.
func judge(s seenStore, now time.Time) storeStatus {
	out := s.facts(now)
	all := s.findings(&out, now)
	slices.SortStableFunc(all, func(a, b finding) int { return cmp.Compare(rank(a.is), rank(b.is)) })
	worst := all[0]
	out.Standing, out.ExitCode = worst.is, worst.is.exitCode()
	out.Reason, out.Message, out.Next = worst.reason, worst.message, worst.next
	for _, f := range all[1:] {
		if f.is != standsReady {
			out.Also = append(out.Also, fmt.Sprintf("%s: %s", f.is, f.message))
		}
	}
	return out
}

// standings, worst first.
var standings = []standing{
	standsPoisoned, standsStalled, standsApproval, standsFrozen, standsDraining, standsSuspended,
	standsIsolated, standsNotReady, standsUnknown, standsRecovering, standsReady,
}

func rank(s standing) int { return slices.Index(standings, s) }

// findings are all that there is to say, at least one.
func (s seenStore) findings(st *storeStatus, now time.Time) []finding {
	ws := &s.store
	at := fmt.Sprintf("-n %s %s", ws.Namespace, ws.Name)
	var all []finding
	is := func(t string) (*metav1.Condition, bool) {
		c := apimeta.FindStatusCondition(ws.Status.Conditions, t)
		return c, c != nil && c.Status == metav1.ConditionTrue
	}
	if c, bad := is(v1alpha1.ConditionPoisoned); bad {
		all = append(all, poisonFinding(c))
	}
	for _, p := range st.Pending {
		switch {
		case p.Stalled:
			all = append(all, finding{standsStalled, p.Reason, p.Message, fmt.Sprintf("kubectl describe rsc -n %s %s: %s", ws.Namespace, p.Name, p.Message)})
		case p.NeedsApproval:
			all = append(all, finding{standsApproval, p.Reason, p.Message, fmt.Sprintf("kubectl salvor plan -n %s %s, and approve what you have looked at", ws.Namespace, p.Name)})
		}
	}
	if c, bad := is(v1alpha1.ConditionStalled); bad && (len(all) == 0 || !told(all, c.Reason)) {
		all = append(all, finding{standsStalled, c.Reason, c.Message, nextOf(c.Reason, c.Message)})
	}
	if l := st.Lock; l != nil {
		all = append(all, l.finding(at))
	}
	if p := st.Suspended; p != nil {
		all = append(all, finding{standsSuspended, v1alpha1.ReasonSuspended, ws.Spec.Suspend.String(),
			fmt.Sprintf("nothing until %s, then the operator goes on by itself; when the work is done: kubectl salvor resume %s", rfc3339(p.Until), at)})
	}
	if c, bad := is(v1alpha1.ConditionIsolated); bad {
		all = append(all, finding{standsIsolated, c.Reason, c.Message, nextOf(c.Reason, c.Message)})
	}
	ready, good := is(v1alpha1.ConditionReady)
	_, recovering := is(v1alpha1.ConditionRecovering)
	switch {
	case ready == nil || ready.Status == metav1.ConditionUnknown:
		all = append(all, finding{standsUnknown, v1alpha1.ReasonNotObserved, "the operator has not said how it is", "see whether the operator runs, and look again"})
	case ws.Status.ObservedGeneration < ws.Generation:
		all = append(all, finding{standsUnknown, v1alpha1.ReasonNotObserved, "the operator has not seen the newest spec", "see whether the operator runs, and look again"})
	case !good && (len(all) == 0 || !told(all, ready.Reason)):
		all = append(all, finding{standsNotReady, ready.Reason, ready.Message, nextOf(ready.Reason, ready.Message)})
	}
	if recovering || len(st.Pending) > 0 {
		all = append(all, st.recovering(ws.Namespace))
	}
	return append(all, finding{standsReady, v1alpha1.ReasonHealthy, "healthy: a crash of its writers heals", "nothing to do"})
}

// poisonFinding is what a failed log is for a person: nothing, while the operator
// restarts its pod.
func poisonFinding(c *metav1.Condition) finding {
	switch c.Reason {
	case v1alpha1.ReasonPodRestarting, v1alpha1.ReasonRestartWaits:
		return finding{standsNotReady, c.Reason, c.Message, "nothing to do: the operator restarts the pod; look again"}
	case v1alpha1.ReasonEvictionRefused:
		return finding{standsNotReady, c.Reason, c.Message, nextOf(c.Reason, c.Message)}
	case v1alpha1.ReasonVolumeFull: // the message has the command
		return finding{standsPoisoned, c.Reason, c.Message, c.Message}
	default:
		return finding{standsPoisoned, c.Reason, c.Message, nextOf(c.Reason, c.Message)}
	}
}

// told reports whether one of the findings has said already what a condition of the
// store sums up.
func told(all []finding, reason string) bool {
	switch reason {
	case v1alpha1.ReasonRecoveryStalled, v1alpha1.ReasonApprovalPending:
		return true // an operation has said it, in its own words
	}
	return slices.ContainsFunc(all, func(f finding) bool { return f.reason == reason })
}

func (st *storeStatus) recovering(namespace string) finding {
	f := finding{standsRecovering, v1alpha1.ReasonOperationsPending, fmt.Sprintf("%d operations pend", len(st.Pending)), "nothing to do: the operator is at work; look again"}
	for _, p := range st.Pending {
		if p.AgeSeconds >= int64(longPending/time.Second) {
			f.next = fmt.Sprintf("it takes long: kubectl describe rsc -n %s %s", namespace, p.Name)
		}
	}
	return f
}

// finding of a lock.
func (l *heldLock) finding(at string) finding {
	f := finding{standsFrozen, v1alpha1.ReasonLocked, fmt.Sprintf("%s by %s until %s: %s", l.Mode, l.who(), rfc3339(l.Until), l.Reason),
		fmt.Sprintf("nothing until %s, then it thaws by itself; when the work is done: kubectl salvor thaw %s", rfc3339(l.Until), at)}
	switch {
	case l.Over:
		f.message += "; that is over"
		f.next = "nothing: whoever publishes next ends the lock; if nobody does: kubectl salvor thaw " + at + " --without-operator"
	case l.Mode == "Draining":
		f.is = standsDraining
		f.next = "wait for the writers; to give up: kubectl salvor thaw " + at
		if len(l.WaitsFor) > 0 {
			f.next = "wait for " + strings.Join(l.WaitsFor, ", ") + "; to give up: kubectl salvor thaw " + at
		}
	}
	return f
}

func (l *heldLock) who() string {
	if l.AskedBy != "" {
		return l.AskedBy + " (" + l.Owner + ")"
	}
	return l.Owner
}

// nextOf is what the page of reasons says to do, or what the message says.
func nextOf(reason, message string) string {
	if e, ok := v1alpha1.Explain(reason); ok && e.Next != "" {
		return strings.TrimSuffix(e.Next, ".")
	}
	return message
}

// worstOf is the exit code of several stores, and the next step of the worst of them.
func worstOf(all []storeStatus) (code int, next string) {
	next = "nothing to do"
	for _, s := range all {
		if s.ExitCode > code {
			code, next = s.ExitCode, s.Next
			if len(all) > 1 {
				next = s.Namespace + "/" + s.Name + ": " + s.Next
			}
		}
	}
	return code, next
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
