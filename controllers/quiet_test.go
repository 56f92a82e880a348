// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

func TestAnIdleOperatorAsksNothing(t *testing.T) {
	contract.Row(t, 136)
	w, pods := ledgerWorld(t, 3)
	op, _, _ := pods[0].confirmedCommit("accounts")
	pods[0].kill()
	w.healed(op)
	pods[0].restart()
	w.streaming("ledger")
	settled, since := 0, time.Now()
	// Late looks, status, events: what the recovery brought with it.
	eventually(t, "the last word about the recovery", func() bool {
		if n := w.api.count(); n != settled {
			settled, since = n, time.Now()
		}
		return time.Since(since) > 2*time.Second && w.get("ledger").Status.LastRecovery != nil && w.root.Count(anyVerb) > 0
	})
	api, root := w.api.count(), 0
	seconds := contract.Scale(t, "idle seconds", 3, 120)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range seconds {
		<-tick.C
		root = len(w.root.Calls())
	}
	if got := w.api.since(api); len(got) != 0 {
		t.Errorf("in %d idle seconds it asked the API server: %v", seconds, got)
	}
	if lists := root; lists == 0 {
		t.Error("nothing was counted")
	}
}

// Looking again and again at what does not change writes nothing.
func TestLooksThatFindNothingNewWriteNothing(t *testing.T) {
	contract.Row(t, 136)
	w, _ := ledgerWorld(t, 1, func(w *world) { w.opt.SweepEvery = never / 2 })
	w.object("recovery/01GARBAGE", []byte("not a sidecar"))
	w.byKey("recovery/01GARBAGE", func(s *v1alpha1.RecoverySidecar) bool { return holds(s.Status.Conditions, cStalled) })
	w.becomes("ledger", v1alpha1.ConditionReady, "False RecoveryStalled")
	looks := func() (n int) {
		for _, c := range w.root.Calls() {
			if c.Verb == fault.Get && c.Key == "recovery/01GARBAGE" {
				n++
			}
		}
		return n
	}
	eventually(t, "the pending count", func() bool { n := w.get("ledger").Status.PendingSidecars; return n != nil && *n == 1 })
	api, before := w.api.count(), looks()
	eventually(t, "some more looks", func() bool { return looks() > before+4 })
	if got := w.api.writes(api, "recovery.salvor.io"); len(got) != 0 {
		t.Errorf("%d looks that found nothing new wrote %v", looks()-before, got)
	}
}

func TestTwoOperatorsAtOnceLeaveOneOutcomeAndOneRow(t *testing.T) {
	contract.Row(t, 99, 121)
	w, pods := ledgerWorld(t, 2)
	second := w.opt
	stop := w.operator(second, prometheus.NewRegistry())
	defer stop()
	rounds := contract.Scale(t, "kills", 4, 50)
	for i := range rounds {
		p := pods[i%2]
		eventually(t, "both operators to stream", func() bool { return p.streams() >= 2 })
		commit, kind, row := p.confirmedCommit, manifest.KindPublish, audit.RolledForward
		if i%4 >= 2 {
			commit, kind, row = p.armedCommit, manifest.KindAbandon, audit.RolledBack
		}
		op, _, _ := commit(fmt.Sprintf("table%d", i))
		p.kill()
		w.healed(op)
		w.resolved(op, kind, manifest.RoleRecovery)
		w.oneRow(op, row)
		p.restart()
	}
	entries := map[manifest.OperationID]int{}
	for _, o := range w.manifest().Outcomes {
		entries[o.Operation]++
	}
	if len(w.rows()) != rounds || len(entries) != rounds {
		t.Errorf("%d rows and %d outcomes of %d operations", len(w.rows()), len(entries), rounds)
	}
	for _, s := range w.sidecars() {
		if s.Status.Decision == "" && s.Status.Reason != v1alpha1.ReasonAlreadyResolved {
			t.Errorf("%s: %+v", s.Name, s.Status)
		}
	}
}

func TestARecoveryIsTwoWritesAndNoMore(t *testing.T) {
	w, pods := ledgerWorld(t, 1)
	p := pods[0]
	for i := range 5 {
		before := w.api.count()
		op, _, _ := p.armedCommit(fmt.Sprintf("table%d", i))
		p.kill()
		w.healed(op)
		p.restart()
		w.streaming("ledger")
		if got := w.api.writes(before, "recoverysidecars"); len(got) != 2 {
			t.Errorf("recovery %d: %s", i, strings.Join(got, ", "))
		}
	}
}
