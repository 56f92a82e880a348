// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
	"github.com/salvor-io/salvor/test/contract"
)

// visibleNow begins an operation on tables whose readers follow their head.
func (p *storePod) visibleNow(content string, tables ...string) <-chan committed {
	p.w.t.Helper()
	log := commitlog.New(p.bucket, objstore.Patience{})
	op := recovery.Operation{Kind: recovery.KindForeign}
	for _, t := range tables {
		op.Changes = append(op.Changes, recovery.Change{Table: manifest.TableID(t), Write: log.Write(content)})
	}
	done := make(chan committed, 1)
	go func() {
		r, err := p.writer.Commit(p.w.ctx, op)
		done <- committed{r, err}
	}()
	return done
}

// head is what readers of a table see.
func (w *world) head(table string) (content string) {
	w.t.Helper()
	c, err := commitlog.New(w.disk, objstore.Patience{}).Read(w.ctx, manifest.TableID(table))
	must(w.t, err)
	must(w.t, json.Unmarshal(c.Content, &content))
	return content
}

// halfSeen is a store whose pod died between the first and the second of two tables
// that readers see.
func halfSeen(t *testing.T, change ...func(*v1alpha1.WALStore)) (*world, *storePod, manifest.OperationID) {
	t.Helper()
	w := newWorld(t)
	w.store("ledger", 1, change...)
	w.start()
	p := w.pod("ledger", 0)
	w.streaming("ledger")
	if c := <-p.visibleNow("old", "x", "y"); c.err != nil {
		t.Fatal(c.err)
	}
	gate := p.bucket.On(fault.PutIfAbsent, commitlog.Prefix).Nth(2).ParkBefore()
	p.visibleNow("new", "x", "y")
	if _, err := gate.Await(w.ctx); err != nil {
		t.Fatal(err)
	}
	op := p.writer.Open()[0]
	p.tellOf(op)
	p.kill()
	return w, p, op
}

// needsApproval waits until the resource says so, and returns it.
func (w *world) needsApproval(op manifest.OperationID, hash func(string) bool) *v1alpha1.RecoverySidecar {
	w.t.Helper()
	var rsc *v1alpha1.RecoverySidecar
	eventually(w.t, "the operation to need approval", func() bool {
		rsc = w.sidecar(op)
		return rsc != nil && holds(rsc.Status.Conditions, cApproval) && rsc.Status.Plan != nil && hash(rsc.Status.Plan.Hash)
	}, func() string { return describeSidecars(w.sidecars()) })
	return rsc
}

func anyHash(string) bool { return true }

func (w *world) approve(rsc *v1alpha1.RecoverySidecar, hash, approver string) {
	w.t.Helper()
	patch := client.MergeFrom(rsc.DeepCopy())
	rsc.Spec.Approval = &v1alpha1.Approval{PlanHash: hash, Approver: approver}
	must(w.t, w.client.Patch(w.ctx, rsc, patch))
}

// Plan, hash, approve, apply: what must be undone is said and waits; another state
// needs another word; the word's giver stands in the audit trail.
func TestWhatIsApprovedIsUndone(t *testing.T) {
	contract.Row(t, 85, 123, 132)
	w, p, op := halfSeen(t)
	rsc := w.needsApproval(op, anyHash)
	st := rsc.Status
	if st.Decision != "RollBack" || st.Disposition != "NeedsCompensation" || st.Plan.TableCount != 2 || st.Plan.Reason != "EffectsIncomplete" ||
		!strings.HasPrefix(st.Plan.Tables[0].Head, "2-"+string(op)) || !strings.HasPrefix(st.Plan.Tables[0].Restores, "1-") {
		t.Errorf("%+v %+v", st, st.Plan)
	}
	p.restart()
	w.becomes("ledger", v1alpha1.ConditionReady, "False ApprovalPending")
	if w.head("x") != "new" || len(w.rows()) != 0 || w.manifest().Lock != nil {
		t.Fatal("something was undone without a word")
	}

	// The state changes: the plan that was looked at is not the one there is.
	_, err := commitlog.New(w.disk, objstore.Patience{}).Write("new")(w.ctx, recovery.TableVersion{Table: "y", Number: 2, Operation: op})
	must(t, err)
	was := st.Plan.Hash
	w.approve(rsc, was, "ada")
	rsc = w.needsApproval(op, func(h string) bool { return h != was })
	if !strings.Contains(rsc.Status.Message, "approved is plan "+was) || w.head("x") != "new" || len(w.rows()) != 0 {
		t.Fatalf("%s", rsc.Status.Message)
	}

	w.approve(rsc, rsc.Status.Plan.Hash, "ada")
	rsc = w.healed(op)
	w.resolved(op, manifest.KindRollBack, manifest.RoleRecovery)
	w.oneRow(op, audit.RolledBack)
	row := w.rows()[0]
	if row.Actor != "ada" || len(row.Tables) != 2 || row.Tables[0].From != "2-"+string(op) {
		t.Errorf("the row: %+v", row)
	}
	if w.head("x") != "old" || w.head("y") != "old" || w.manifest().Lock != nil {
		t.Errorf("x %q, y %q, lock %v", w.head("x"), w.head("y"), w.manifest().Lock)
	}
	if rsc.Status.Outcome.Kind != "rollback" || holds(rsc.Status.Conditions, cApproval) || rsc.Status.Disposition != "Clean" {
		t.Errorf("%+v", rsc.Status)
	}
}

func TestWhatThePolicyLetsBeUndone(t *testing.T) {
	contract.Row(t, 85, 132)
	t.Run("Automatic", func(t *testing.T) {
		w, _, op := halfSeen(t, func(ws *v1alpha1.WALStore) { ws.Spec.Recovery.RollBack = v1alpha1.RollBackAutomatic })
		w.healed(op)
		w.resolved(op, manifest.KindRollBack, manifest.RoleRecovery)
		w.oneRow(op, audit.RolledBack)
		if row := w.rows()[0]; w.head("x") != "old" || w.head("y") != "old" || row.Actor != "salvor:recovery" {
			t.Errorf("x %q, y %q, %+v", w.head("x"), w.head("y"), row)
		}
	})
	t.Run("Never", func(t *testing.T) {
		w, _, op := halfSeen(t, func(ws *v1alpha1.WALStore) { ws.Spec.Recovery.RollBack = v1alpha1.RollBackNever })
		rsc := w.needsApproval(op, anyHash)
		w.approve(rsc, rsc.Status.Plan.Hash, "ada")
		throughout(t, never, "nothing to be undone", func() bool { return w.head("x") == "new" && len(w.rows()) == 0 })
	})
	t.Run("a leader no more", func(t *testing.T) {
		w := newWorld(t)
		lost := errNoLease
		w.opt.Leads = func(context.Context) error { return lost }
		w.store("ledger", 1, func(ws *v1alpha1.WALStore) { ws.Spec.Recovery.RollBack = v1alpha1.RollBackAutomatic })
		w.start()
		p := w.pod("ledger", 0)
		w.streaming("ledger")
		gate := p.bucket.On(fault.PutIfAbsent, recovery.Prefix).Nth(2).ParkBefore()
		p.visibleNow("new", "x", "y")
		_, err := gate.Await(w.ctx)
		must(t, err)
		op := p.writer.Open()[0]
		p.tellOf(op)
		p.kill()
		eventually(t, "the refusal to be told", func() bool {
			rsc := w.sidecar(op)
			return rsc != nil && strings.Contains(rsc.Status.Message, errNoLease.Error())
		}, func() string { return describeSidecars(w.sidecars()) })
		if w.head("x") != "new" || len(w.rows()) != 0 {
			t.Error("it was undone")
		}
	})
}

var errNoLease = errors.New("the Lease is held by another")

// In mode Plan nothing is written to the root, and each resource says what would be.
func TestInModePlanNothingIsDone(t *testing.T) {
	contract.Row(t, 101, 132)
	w := newWorld(t)
	w.store("ledger", 1)
	w.start()
	p := w.pod("ledger", 0)
	w.streaming("ledger")
	ws := w.get("ledger")
	patch := client.MergeFrom(ws.DeepCopy())
	ws.Spec.Recovery.Mode = v1alpha1.RecoveryPlan
	must(t, w.client.Patch(w.ctx, ws, patch))
	op, _, _ := p.confirmedCommit("accounts")
	eventually(t, "the operator to have seen the mode", func() bool {
		return w.get("ledger").Status.ObservedGeneration == ws.Generation
	})
	before, version := len(w.keys("")), w.manifest().Version
	p.kill()
	eventually(t, "the plan to be told", func() bool {
		rsc := w.sidecar(op)
		return rsc != nil && words(rsc.Status.Conditions, cComplete) == "False PlanOnly"
	}, func() string { return describeSidecars(w.sidecars()) })
	rsc := w.sidecar(op)
	if rsc.Status.Decision != "RollForward" || rsc.Status.Disposition != "RollForwardRequired" {
		t.Errorf("%+v", rsc.Status)
	}
	if len(w.keys("")) != before || w.manifest().Version != version {
		t.Error("something was written")
	}
	ws = w.get("ledger")
	patch = client.MergeFrom(ws.DeepCopy())
	ws.Spec.Recovery.Mode = v1alpha1.RecoveryAutomatic
	must(t, w.client.Patch(w.ctx, ws, patch))
	w.healed(op)
	w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
	w.oneRow(op, audit.RolledForward)
}

// What an operator may do is a table.
func TestAuthority(t *testing.T) {
	contract.Row(t, 123)
	forward := recovery.RollForwardOnly{EndEpoch: true, Process: "p"}
	word := &v1alpha1.Approval{PlanHash: planOne, Approver: "ada"}
	for _, c := range []struct {
		mode     v1alpha1.RecoveryMode
		policy   v1alpha1.RollBackPolicy
		approval *v1alpha1.Approval
		want     string
		closed   bool
	}{
		{"", "", nil, "exclusive OnApproval \"\" by \"\"", false},
		{"Automatic", "OnApproval", nil, "exclusive OnApproval \"\" by \"\"", false},
		{"Automatic", "OnApproval", word, "exclusive OnApproval \"" + planOne + "\" by \"ada\"", false},
		{"Automatic", "Automatic", nil, "exclusive Automatic \"\" by \"\"", false},
		{"Automatic", "Automatic", nil, "exclusive OnApproval \"\" by \"\"", true},
		{"Automatic", "Automatic", word, "exclusive OnApproval \"" + planOne + "\" by \"ada\"", true},
		{"Automatic", "Never", word, "forward", true},
		{"Automatic", "Never", word, "forward", false},
		{"Plan", "Never", word, "probe as forward", false},
		{"Plan", "Automatic", word, "probe as exclusive Automatic \"" + planOne + "\" by \"ada\"", false},
	} {
		got := authorityWords(authority(v1alpha1.RecoveryPolicy{Mode: c.mode, RollBack: c.policy}, c.closed, c.approval, forward, func(context.Context) error { return nil }), forward)
		if got != c.want {
			t.Errorf("%s %s %v: %s, want %s", c.mode, c.policy, c.approval, got, c.want)
		}
	}
}

const planOne = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

func authorityWords(a recovery.Authority, forward recovery.RollForwardOnly) string {
	switch a := a.(type) {
	case recovery.Probe:
		return "probe as " + authorityWords(a.As, forward)
	case recovery.Exclusive:
		if a.Forward != forward || a.Check == nil {
			return "incomplete"
		}
		return fmt.Sprintf("exclusive %s %q by %q", a.Policy, a.Approved, a.Approver)
	case recovery.RollForwardOnly:
		if a == forward {
			return "forward"
		}
	}
	return fmt.Sprintf("%#v", a)
}
