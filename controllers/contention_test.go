// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// Somebody else takes every number that the operator tries, for more than a whole
// pass. The intent is kept, the resource says so, and the next pass that gets
// through finishes; no failure is counted.
func TestContentionIsRequeuedAndTheIntentIsKept(t *testing.T) {
	contract.Row(t, 79)
	w, pods := ledgerWorld(t, 2)
	rival, err := manifest.Open(w.ctx, w.disk, manifest.Options{NewID: w.newID})
	must(t, err)
	op, _, _ := pods[1].confirmedCommit("accounts")
	var conflicts atomic.Int64
	var over atomic.Bool
	w.root.OnCall(func(c fault.Call) {
		if c.Verb != fault.PutIfAbsent || !strings.HasPrefix(c.Key, manifest.Prefix) || over.Load() {
			return
		}
		conflicts.Add(1)
		_, err := rival.Publish(w.ctx, manifest.Publication{
			By: manifest.Publisher{Role: manifest.RoleOperator, Process: "RIVAL"}, Entries: []manifest.Entry{{Kind: manifest.KindAnchor}},
		})
		if err != nil {
			t.Error(err)
		}
	})
	pods[1].kill()
	eventually(t, "the deferral to be told", func() bool {
		rsc := w.sidecar(op)
		return rsc != nil && rsc.Status.Reason == v1alpha1.ReasonContention
	}, func() string { return describeSidecars(w.sidecars()) })
	rsc := w.sidecar(op)
	if holds(rsc.Status.Conditions, cComplete) || holds(rsc.Status.Conditions, cStalled) || !holds(rsc.Status.Conditions, cWorking) {
		t.Errorf("%+v", rsc.Status)
	}
	if n := conflicts.Load(); n <= 5 {
		t.Errorf("deferred after %d conflicts", n)
	}
	if left := w.keys(recovery.SidecarKey(op)); len(left) != 2 { // and its confirmation
		t.Errorf("the intent is %v", left)
	}
	over.Store(true)
	w.healed(op)
	w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
	w.oneRow(op, audit.RolledForward)
}
