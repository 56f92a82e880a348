// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

// The operator's network is cut from one moment to the next: every stream breaks,
// though only one of the writers has died.
func TestAnOperatorThatIsCutOffFencesOnlyWhoIsShownToBeDead(t *testing.T) {
	contract.Row(t, 160)
	w, pods := ledgerWorld(t, 8)
	dead, alive := pods[0], pods[1]
	opDead, _, _ := dead.confirmedCommit("accounts")
	opAlive, gate, done := alive.confirmedCommit("transfers")
	epochs := w.manifest().Writers
	dead.bucket.Kill()
	for _, p := range pods {
		p.hangUp()
	}
	w.becomes("ledger", v1alpha1.ConditionIsolated, "True ManyStreamsLost")
	throughout(t, 3*never, "no epoch ended on suspicion", func() bool {
		now := w.manifest().Writers
		for id, e := range epochs {
			if now[id] != e {
				return false
			}
		}
		return true
	})
	dead.status(terminated)
	w.healed(opDead)
	if now := w.manifest().Writers; now["ledger-1"] != epochs["ledger-1"] || !now["ledger-0"].Fenced() {
		t.Errorf("epochs: %v", now)
	}
	if w.condition("ledger", v1alpha1.ConditionReady) == "True Healthy" {
		t.Error("Ready while isolated")
	}
	for _, p := range pods[1:] {
		p.listen()
	}
	w.becomes("ledger", v1alpha1.ConditionIsolated, "False StreamsHealthy")
	gate.Release()
	if got := <-done; got.err != nil || got.result.ByRecovery {
		t.Errorf("the live writer was disturbed: %+v", got)
	}
	eventually(t, "what waited for it to be closed", func() bool {
		s := w.sidecar(opAlive)
		return s == nil || holds(s.Status.Conditions, cComplete)
	})
	if o, _ := w.manifest().Outcome(opAlive); o.By.Role != manifest.RoleWriter {
		t.Errorf("%+v", o)
	}
}
