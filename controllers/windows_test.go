// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

// newYear is open for a minute, at New Year in Berlin.
func newYear(ws *v1alpha1.WALStore) {
	ws.Spec.Recovery.RollBack = v1alpha1.RollBackAutomatic
	ws.Spec.Windows = []v1alpha1.Window{{Schedule: "0 0 1 1 *", Duration: metav1.Duration{Duration: time.Minute}, TimeZone: "Europe/Berlin"}}
}

// What would be undone automatically waits for the store's window. When the window
// opens, or somebody takes it away, it is undone.
func TestAnAutomaticRollBackWaitsForItsWindow(t *testing.T) {
	contract.Row(t, 141)
	w, _, op := halfSeen(t, newYear)
	next, err := windows(w.get("ledger")).At(time.Now())
	must(t, err)
	eventually(t, "the roll-back to wait", func() bool {
		rsc := w.sidecar(op)
		if rsc == nil {
			return false
		}
		c, _ := find(rsc.Status.Conditions, cWorking)
		return c.Status == metav1.ConditionTrue && c.Reason == v1alpha1.ReasonWindowClosed && strings.Contains(c.Message, next.Next.UTC().Format(time.RFC3339))
	}, func() string { return describeSidecars(w.sidecars()) })
	ws := w.get("ledger")
	if st := ws.Status.Window; st == nil || st.Open || !st.Next.Time.Equal(next.Next) || st.Until != nil {
		t.Errorf("the next start is not shown: %+v", ws.Status.Window)
	}
	throughout(t, never, "nothing is undone", func() bool { return w.head("x") == "new" })
	patch := client.MergeFrom(ws.DeepCopy())
	ws.Spec.Windows = nil
	must(t, w.client.Patch(w.ctx, ws, patch))
	w.healed(op)
	w.resolved(op, manifest.KindRollBack, manifest.RoleRecovery)
	w.oneRow(op, audit.RolledBack)
	if w.head("x") != "old" || w.head("y") != "old" {
		t.Errorf("readers see %q and %q", w.head("x"), w.head("y"))
	}
}

// A window that cannot be read is told, and keeps what may wait waiting.
func TestAWindowThatCannotBeReadIsTold(t *testing.T) {
	contract.Row(t, 141)
	w := newWorld(t)
	w.store("ledger", 0, newYear, func(ws *v1alpha1.WALStore) { ws.Spec.Windows[0].TimeZone = "Berlin" })
	w.start()
	w.becomes("ledger", v1alpha1.ConditionStalled, "True WindowsInvalid")
	if st := w.get("ledger").Status.Window; st == nil || st.Open {
		t.Errorf("%+v", st)
	}
}
