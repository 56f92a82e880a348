// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/detect"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

var (
	aTime   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sidecar = &recovery.Sidecar{
		Store: "s", Operation: "01KA", Writer: "ledger-0", Epoch: manifest.Epoch{Number: 3, Process: "p"}, Kind: recovery.KindCheckpoint,
		Base: 7, Started: aTime.Add(-time.Minute), Tables: []recovery.TablePlan{{Table: "a", Number: 2, Expected: manifest.Ref{Number: 1, Operation: "01J"}}, {Table: "b", Drop: true, Expected: manifest.Ref{Number: 4, Operation: "01J"}}},
	}
	published = &manifest.Outcome{Operation: "01KA", Kind: manifest.KindPublish, Version: 9, By: manifest.Publisher{Role: manifest.RoleRecovery}}
	byWriter  = &manifest.Outcome{Operation: "01KA", Kind: manifest.KindPublish, Version: 9, By: manifest.Publisher{Role: manifest.RoleWriter}}
	row       = &audit.Row{ID: 5, Batch: 4, Hash: "sha256:x"}
)

func verdict(d recovery.Decision, r recovery.Reason) recovery.Verdict {
	return recovery.Verdict{Decision: d, Reason: r, Message: "because"}
}

func TestWhatEverybodyHearsOfAPass(t *testing.T) {
	contract.Row(t, 77, 80, 133)
	again := detect.Verdict{State: detect.Suspect, Held: detect.HoldRate, Again: aTime.Add(3 * time.Second)}
	broken := &audit.Break{Number: 3, Why: audit.Forged, Detail: "no"}
	for _, c := range []struct {
		name string
		p    pass
		// Observed, Resolved, Audited, Complete, NeedsApproval, Reconciling, Stalled.
		want    string
		after   time.Duration
		outcome string
		failure string
		events  string
	}{
		{"healed", pass{report: recovery.Report{Sidecar: sidecar, Verdict: verdict(recovery.RollForward, recovery.ReasonConfirmed), Outcome: published, Row: row, Complete: true}},
			"True SidecarRead, True Published, True RowReadBack, True Healed, False NotNeeded, False Settled, False Settled", time.Hour, "RolledForward", "", "Recovered"},
		{"closed", pass{report: recovery.Report{Sidecar: sidecar, Verdict: verdict(recovery.Abandon, recovery.ReasonNotConfirmed), Outcome: &manifest.Outcome{Kind: manifest.KindAbandon, Version: 9}, Row: row, Complete: true}},
			"True SidecarRead, True Abandoned, True RowReadBack, True Healed, False NotNeeded, False Settled, False Settled", time.Hour, "Abandoned", "", "Recovered"},
		{"came back late", pass{report: recovery.Report{Sidecar: sidecar, Verdict: verdict(recovery.Discard, recovery.ReasonForgotten), Complete: true}},
			"True SidecarRead, True BelowLowWater, True NoRowNeeded, True Healed, False NotNeeded, False Settled, False Settled", time.Hour, "Discarded", "", "Recovered"},
		{"its writer is alive", pass{report: recovery.Report{Sidecar: sidecar, Verdict: verdict(recovery.Defer, recovery.ReasonWriterLive)}},
			"True SidecarRead, False WriterLive, False RowMissing, False Pending, False NotNeeded, True WriterLive, False Settled", 0, "", "", ""},
		{"its writer was fenced a moment ago", pass{report: recovery.Report{Sidecar: sidecar, Verdict: verdict(recovery.Defer, recovery.ReasonWriterLive)}, verdict: again},
			"True SidecarRead, False WriterLive, False RowMissing, False Pending, False NotNeeded, True WriterLive, False Settled", 3 * time.Second, "", "", ""},
		{"races were lost", pass{report: recovery.Report{Sidecar: sidecar, Verdict: verdict(recovery.Defer, recovery.ReasonContention)}},
			"True SidecarRead, False Contention, False RowMissing, False Pending, False NotNeeded, True Contention, False Settled", time.Second, "", "Contention", ""},
		{"a contradiction", pass{report: recovery.Report{Sidecar: sidecar, Verdict: verdict(recovery.Refuse, recovery.ReasonContradiction)}},
			"True SidecarRead, False Contradiction, False RowMissing, False Pending, False NotNeeded, False Settled, True Contradiction", 0, "", "Contradiction", "RecoveryRefused"},
		{"an object that cannot be read", pass{report: recovery.Report{Verdict: verdict(recovery.Refuse, recovery.ReasonMalformed)}},
			"False Malformed, False Malformed, False RowMissing, False Pending, False NotNeeded, False Settled, True Malformed", 0, "", "Malformed", "RecoveryRefused"},
		{"an undo", pass{report: recovery.Report{Sidecar: sidecar, Verdict: verdict(recovery.RollBack, recovery.ReasonVisible), NeedsApproval: true}},
			"True SidecarRead, False VisibleEffects, False RowMissing, False Pending, True VisibleEffects, False Settled, False Settled", 0, "", "VisibleEffects", "ApprovalNeeded"},
		{"a request failed", pass{err: errors.New("reset")},
			"Unknown RequestFailed, False NotDecided, False RowMissing, False Pending, False NotNeeded, True RequestFailed, False Settled", time.Second, "", "RequestFailed", ""},
		{"a request failed after the decision", pass{report: recovery.Report{Sidecar: sidecar, Outcome: published}, err: errors.New("reset")},
			"True SidecarRead, True Published, False RowMissing, False Pending, False NotNeeded, True RequestFailed, False Settled", time.Second, "", "RequestFailed", ""},
		{"it failed too often", pass{before: v1alpha1.RecoverySidecarStatus{Attempts: 2}, err: errors.New("reset")},
			"Unknown RequestFailed, False NotDecided, False RowMissing, False Pending, False NotNeeded, False Settled, True RequestFailed", 0, "", "RequestFailed", "RecoveryStalled"},
		{"the trail is broken", pass{report: recovery.Report{Sidecar: sidecar, Outcome: published}, err: fmt.Errorf("audit: %w", broken)},
			"True SidecarRead, True Published, False RowMissing, False Pending, False NotNeeded, False Settled, True AuditChainBroken", 0, "", "AuditChainBroken", "RecoveryStalled"},
		{"gone, with its row", pass{report: recovery.Report{Gone: true, Complete: true}, ended: &ending{outcome: published, row: row}},
			"False SidecarGone, True Published, True RowReadBack, True AlreadyResolved, False NotNeeded, False Settled, False Settled", time.Hour, "AlreadyResolved", "", ""},
		{"gone, finished by its writer", pass{report: recovery.Report{Gone: true, Complete: true}, ended: &ending{outcome: byWriter}},
			"False SidecarGone, True Published, True NoRowNeeded, True AlreadyResolved, False NotNeeded, False Settled, False Settled", time.Hour, "AlreadyResolved", "", ""},
		{"gone, and nothing is known any more", pass{report: recovery.Report{Gone: true, Complete: true}, ended: &ending{}},
			"False SidecarGone, True AlreadyResolved, True NoRowNeeded, True AlreadyResolved, False NotNeeded, False Settled, False Settled", time.Hour, "AlreadyResolved", "", ""},
		{"gone, decided by recovery, and no row", pass{report: recovery.Report{Gone: true, Complete: true}, ended: &ending{outcome: published}},
			"False SidecarGone, True Published, False RowMissing, False RowMissing, False NotNeeded, False Settled, True RowMissing", 0, "", "", ""},
		{"applied by hand for nothing", pass{byHand: true, report: recovery.Report{Gone: true, Complete: true}, ended: &ending{}},
			"False SidecarGone, Unknown SidecarGone, Unknown SidecarGone, False SidecarGone, False NotNeeded, False Settled, False Settled", 0, "", "", ""},
		{"no such store", pass{waits: found(cObserved, v1alpha1.ReasonStoreMissing, "none")},
			"Unknown NotObserved, Unknown NotObserved, Unknown NotObserved, False StoreMissing, False NotNeeded, True StoreMissing, False Settled", 0, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.p
			p.now, p.detected, p.generation, p.retain, p.attempts = aTime, aTime.Add(-time.Second), 2, time.Hour, 3
			p.backoff = func(n int) time.Duration { return time.Duration(n) * time.Second }
			got := translate(p)
			var said, events []string
			for i, x := range got.status.Conditions {
				if x.Type != v1alpha1.RecoverySidecarConditions[i] || x.Message == "" || x.ObservedGeneration != 2 {
					t.Errorf("condition %d: %+v", i, x)
				}
				said = append(said, string(x.Status)+" "+x.Reason)
			}
			for _, e := range got.events {
				events = append(events, e.reason)
			}
			if s := strings.Join(said, ", "); s != c.want {
				t.Errorf("conditions:\ngot  %s\nwant %s", s, c.want)
			}
			if got.after != c.after || got.outcome != c.outcome || got.failure != c.failure || strings.Join(events, " ") != c.events {
				t.Errorf("after %s, outcome %q, failure %q, events %v", got.after, got.outcome, got.failure, events)
			}
			// Said again, it is no news: no event, and nothing to write but a count of failures.
			p.before = got.status
			second := translate(p)
			if c.failure == "" && c.outcome == "" && !sameSidecarStatus(got.status, second.status) {
				t.Errorf("the second time it is another status:\n%+v\n%+v", got.status, second.status)
			}
			if c.failure != "" && len(second.events) > 0 {
				t.Errorf("the second time it is an event again: %v", second.events)
			}
			if got.status.Timing.HealedAt != nil && !second.status.Timing.HealedAt.Equal(got.status.Timing.HealedAt) {
				t.Error("it healed twice")
			}
		})
	}
}

func TestAStatusTellsOfTheOperation(t *testing.T) {
	p := pass{now: aTime, detected: aTime.Add(-time.Second), retain: time.Hour, report: recovery.Report{
		Sidecar: sidecar, Phase: recovery.PhaseConfirmed, Class: recovery.ClassApplied, Complete: true, Outcome: published, Row: row,
		Verdict: verdict(recovery.RollForward, recovery.ReasonConfirmed)}}
	st := translate(p).status
	if st.Writer.ID != "ledger-0" || st.Writer.Epoch != 3 || st.Writer.Process != "p" || st.Kind != "checkpoint" || *st.Base != 7 || st.Class != "Applied" {
		t.Errorf("%+v", st)
	}
	if len(st.Tables) != 2 || st.Tables[0] != (v1alpha1.TableStatus{Name: "a", Expected: "1-01J", Planned: "2-01KA"}) || st.Tables[1] != (v1alpha1.TableStatus{Name: "b", Expected: "4-01J"}) {
		t.Errorf("tables %+v", st.Tables)
	}
	if !st.Timing.DetectedAt.Equal(microTime(aTime.Add(-time.Second))) || !st.Timing.HealedAt.Equal(microTime(aTime)) || !st.Timing.StartedAt.Equal(microTime(sidecar.Started)) {
		t.Errorf("timing %+v", st.Timing)
	}
	// A later pass that finds the outcome does not change how far it had come.
	p.before, p.report.Phase = st, recovery.PhaseDecided
	if got := translate(p).status.Phase; got != "Confirmed" {
		t.Errorf("phase %s", got)
	}
	many := *sidecar
	many.Tables = nil
	for i := range 80 {
		many.Tables = append(many.Tables, recovery.TablePlan{Table: manifest.TableID(fmt.Sprintf("t%d", i)), Number: 1})
	}
	p.report.Sidecar = &many
	if st := translate(p).status; len(st.Tables) != v1alpha1.MaxTables || st.TableCount != 80 {
		t.Errorf("%d tables listed of %d", len(st.Tables), st.TableCount)
	}
}
