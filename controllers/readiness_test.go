// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/detect"
	"github.com/salvor-io/salvor/maintenance/restart"
	"github.com/salvor-io/salvor/test/contract"
)

// word is "Status Reason" of one condition.
func word(all []condition, t string) string {
	for _, c := range all {
		if c.Type == t {
			return string(c.Status) + " " + c.Reason
		}
	}
	return "none"
}

func TestReadiness(t *testing.T) {
	contract.Row(t, 135)
	ok := step{ok: true}
	good := view{claimed: ok, probed: ok, audited: ok, workload: ok, listed: ok, heard: true}
	but := func(f func(*view)) view {
		v := good
		f(&v)
		return v
	}
	bad := func(reason string) step { return step{bad: found("", reason, "m")} }
	final := func(reason string) step { return step{bad: found("", reason, "m").final()} }
	pause := &v1alpha1.Suspension{By: "ada", Reason: "the root moves", Until: metav1.Unix(1e9, 0)}
	isolated := detect.Isolation{Isolated: true, Since: time.Unix(1, 0), Missing: 5, Before: 6}
	for _, c := range []struct {
		name                                    string
		v                                       view
		ready, recovering, reconciling, stalled string
	}{
		{"nobody has looked", view{}, "Unknown NotObserved", "Unknown NotObserved", "True Progressing", "False Settled"},
		{"all is well", good, "True Healthy", "False NothingPending", "False Settled", "False Settled"},
		{"suspended", but(func(v *view) { v.suspended, v.claimed = pause, final("X") }), "False Suspended", "False NothingPending", "False Settled", "False Settled"},
		{"the root does not answer", but(func(v *view) { v.claimed = bad("RootUnreachable") }), "False RootUnreachable", "False NothingPending", "True Progressing", "False Settled"},
		{"the root is another's", but(func(v *view) { v.claimed = final("RootClaimedByAnother") }), "False RootClaimedByAnother", "False NothingPending", "False Settled", "True RootClaimedByAnother"},
		{"the root is not claimed yet", but(func(v *view) { v.claimed = step{} }), "Unknown NotObserved", "False NothingPending", "True Progressing", "False Settled"},
		{"conditions are ignored", but(func(v *view) { v.claimed, v.probed = step{}, final("ConditionalWritesNotEnforced") }), "False ConditionalWritesNotEnforced", "False NothingPending", "False Settled", "True ConditionalWritesNotEnforced"},
		{"no audit key", but(func(v *view) { v.audited = final("AuditKeyMissing") }), "False AuditKeyMissing", "False NothingPending", "False Settled", "True AuditKeyMissing"},
		{"a pod is missing", but(func(v *view) { v.workload = bad("PodsMissing") }), "False PodsMissing", "False NothingPending", "True Progressing", "False Settled"},
		{"nobody could list", but(func(v *view) { v.listed = bad("ListingFailed") }), "False ListingFailed", "Unknown ListingFailed", "True Progressing", "False Settled"},
		{"something pends", but(func(v *view) { v.pending = 2 }), "True Healthy", "True OperationsPending", "True Progressing", "False Settled"},
		{"something is stalled", but(func(v *view) { v.pending, v.stalled = 1, 1 }), "False RecoveryStalled", "True OperationsPending", "False Settled", "True RecoveryStalled"},
		{"something is stalled, something goes on", but(func(v *view) { v.pending, v.stalled = 2, 1 }), "False RecoveryStalled", "True OperationsPending", "True Progressing", "True RecoveryStalled"},
		{"something needs approval", but(func(v *view) { v.pending, v.approvals = 1, 1 }), "False ApprovalPending", "True OperationsPending", "False Settled", "True ApprovalPending"},
		{"a log is poisoned", but(func(v *view) { v.poisoned = []ailment{{pod: "a", says: "x"}} }), "False LogPoisoned", "False NothingPending", "False Settled", "True LogPoisoned"},
		{"a log is poisoned, and its pod is restarted", but(func(v *view) { v.poisoned = []ailment{{pod: "a", verdict: restart.Verdict{Why: restart.WhyRestart}}} }), "False PodRestarting", "False NothingPending", "True Progressing", "False Settled"},
		{"a volume is full", but(func(v *view) { v.poisoned = []ailment{{pod: "a", verdict: restart.Verdict{Why: restart.WhyFull}}} }), "False VolumeFull", "False NothingPending", "False Settled", "True VolumeFull"},
		{"the budget is spent", but(func(v *view) { v.poisoned = []ailment{{pod: "a", verdict: restart.Verdict{Why: restart.WhySpent}}} }), "False RestartsSpent", "False NothingPending", "False Settled", "True RestartsSpent"},
		{"a volume is nearly full", but(func(v *view) { v.nearly = []string{"pod a: 97 %"} }), "True Healthy", "False NothingPending", "False Settled", "False Settled"},
		{"isolated", but(func(v *view) { v.isolation = isolated }), "False ManyStreamsLost", "False NothingPending", "True Progressing", "False Settled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := readiness(c.v)
			for condition, want := range map[string]string{
				v1alpha1.ConditionReady: c.ready, v1alpha1.ConditionRecovering: c.recovering,
				v1alpha1.ConditionReconciling: c.reconciling, v1alpha1.ConditionStalled: c.stalled,
			} {
				if is := word(got, condition); is != want {
					t.Errorf("%s is %s, want %s", condition, is, want)
				}
			}
		})
	}
}

// Every combination of what a view can hold: Ready is True only when nothing at
// all is wrong, and no combination leaves a condition out or without words.
func TestReadinessNeverLies(t *testing.T) {
	contract.Row(t, 135)
	steps := []step{{}, {ok: true}, {bad: found("", "Bad", "m")}, {bad: found("", "Final", "m").final()}}
	count := 0
	for i := range 4 * 4 * 4 * 4 * 4 * 4 * 2 * 2 * 2 * 3 {
		take := func(n int) int { r := i % n; i /= n; return r }
		v := view{claimed: steps[take(4)], probed: steps[take(4)], audited: steps[take(4)], workload: steps[take(4)], listed: steps[take(4)]}
		switch take(4) {
		case 1:
			v.pending = 1
		case 2:
			v.pending, v.stalled = 1, 1
		case 3:
			v.pending, v.approvals = 1, 1
		}
		v.isolation.Isolated, v.heard = take(2) == 1, take(2) == 1
		if take(2) == 1 {
			v.suspended = &v1alpha1.Suspension{}
		}
		switch take(3) {
		case 1:
			v.poisoned = []ailment{{pod: "x"}}
		case 2:
			v.poisoned = []ailment{{pod: "x", verdict: restart.Verdict{Why: restart.WhySettling}}}
		}
		count++
		got := readiness(v)
		good := v.suspended == nil && !v.isolation.Isolated && len(v.poisoned) == 0 && v.stalled+v.approvals == 0
		final := false
		for _, s := range []step{v.claimed, v.probed, v.audited, v.workload, v.listed} {
			good = good && s.ok
			final = final || s.bad != nil && s.bad.Final
		}
		say := fmt.Sprintf("%+v", v)
		if ready := word(got, v1alpha1.ConditionReady); (ready == "True Healthy") != good || good != (ready[:4] == "True") {
			t.Fatalf("Ready is %s: %s", ready, say)
		}
		if len(got) != len(v1alpha1.WALStoreConditions) {
			t.Fatalf("%d conditions: %s", len(got), say)
		}
		for j, c := range got {
			if c.Type != v1alpha1.WALStoreConditions[j] || c.Reason == "" || c.Message == "" || c.Status == "" {
				t.Fatalf("condition %d is %+v: %s", j, c, say)
			}
		}
		// kstatus: what waits for a person is not "in progress" to it, and the
		// other way round; a store that is Ready is neither.
		if good && (word(got, v1alpha1.ConditionStalled)[:4] == "True") {
			t.Fatalf("Ready and Stalled: %s", say)
		}
		if ready := word(got, v1alpha1.ConditionReady); ready[:5] == "False" && v.suspended == nil &&
			word(got, v1alpha1.ConditionStalled)[:4] != "True" && word(got, v1alpha1.ConditionReconciling)[:4] != "True" {
			t.Fatalf("%s, and nobody is at work on it: %s", ready, say)
		}
	}
	t.Logf("%d views", count)
}
