// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// object puts an object into the root, past everybody.
func (w *world) object(key string, body []byte) {
	w.t.Helper()
	res, err := w.disk.PutIfAbsent(w.ctx, key, body, "test")
	if res.Outcome != objstore.Created {
		w.t.Fatalf("put %s: %s %v", key, res.Outcome, err)
	}
}

// byKey waits for the RecoverySidecar of an object.
func (w *world) byKey(key string, f func(*v1alpha1.RecoverySidecar) bool) *v1alpha1.RecoverySidecar {
	w.t.Helper()
	var out *v1alpha1.RecoverySidecar
	eventually(w.t, "the RecoverySidecar of "+key, func() bool {
		for _, s := range w.sidecars() {
			if s.Spec.Key == key && f(&s) {
				out = &s
				return true
			}
		}
		return false
	}, func() string { return describeSidecars(w.sidecars()) })
	return out
}

func TestABadObjectBlocksOnlyItself(t *testing.T) {
	contract.Row(t, 80, 95)
	w, pods := ledgerWorld(t, 1)
	w.stop()
	newer := strings.Replace(string(sidecarOf(t, "01NEWER", w)), "salvor sidecar 1 ", "salvor sidecar 9 ", 1)
	w.object("recovery/01GARBAGE", []byte("not a sidecar"))
	w.object("recovery/01NEWER", []byte(newer))
	w.object("recovery/weird.name!", sidecarOf(t, "01MISNAMED", w))
	w.object("recovery/01FOREIGN", foreignSidecar(t, "01FOREIGN"))
	op, _, _ := pods[0].confirmedCommit("accounts")
	pods[0].kill()
	pods[0].status(terminated)
	w.start()

	w.healed(op)
	stalled := func(s *v1alpha1.RecoverySidecar) bool { return holds(s.Status.Conditions, cStalled) }
	for key, want := range map[string]struct{ reason, says string }{
		"recovery/01GARBAGE": {v1alpha1.ReasonMalformed, "restore the object from a copy"},
		"recovery/01NEWER":   {v1alpha1.ReasonNewerFormat, "upgrade salvor"},
		"recovery/01FOREIGN": {v1alpha1.ReasonForeignStore, "remove the object"},
	} {
		rsc := w.byKey(key, stalled)
		c, _ := find(rsc.Status.Conditions, cStalled)
		if c.Reason != want.reason || !strings.Contains(c.Message, want.says) {
			t.Errorf("%s: Stalled %s: %s", key, c.Reason, c.Message)
		}
		if _, err := w.disk.Get(w.ctx, key); err != nil {
			t.Errorf("%s was not kept: %v", key, err)
		}
	}
	// What is named wrongly is still somebody's operation, and is recovered under
	// the name that it has.
	w.byKey("recovery/weird.name!", func(s *v1alpha1.RecoverySidecar) bool { return holds(s.Status.Conditions, cComplete) })
	if o, ok := w.manifest().Outcome("01MISNAMED"); !ok || o.Kind != manifest.KindAbandon {
		t.Errorf("the misnamed operation: %+v", o)
	}
	w.becomes("ledger", v1alpha1.ConditionStalled, "True RecoveryStalled")
	w.oneRow(op, audit.RolledForward)
	before := w.api.count()
	throughout(t, never, "quiet", func() bool { return len(w.api.writes(before, "recoverysidecars")) == 0 })
	// Somebody deletes what is known to be nobody's, and lets the operator look.
	must(t, w.disk.Delete(w.ctx, "recovery/01GARBAGE"))
	w.stop()
	w.start()
	w.byKey("recovery/01GARBAGE", func(s *v1alpha1.RecoverySidecar) bool { return words(s.Status.Conditions, cStalled) == "False Settled" })
}

// What somebody removes from a root is settled by the next listing.
func TestABadObjectThatIsRemovedIsSettled(t *testing.T) {
	contract.Row(t, 80, 95)
	w, _ := ledgerWorld(t, 1, func(w *world) { w.opt.SweepEvery = never })
	w.object("recovery/01GARBAGE", []byte("not a sidecar"))
	w.byKey("recovery/01GARBAGE", func(s *v1alpha1.RecoverySidecar) bool { return holds(s.Status.Conditions, cStalled) })
	w.becomes("ledger", v1alpha1.ConditionReady, "False RecoveryStalled")
	gate := w.root.On(fault.List, "recovery/").ParkBefore()
	_, err := gate.Await(w.ctx) // whatever the listing before has asked for is done
	must(t, err)
	must(t, w.disk.Delete(w.ctx, "recovery/01GARBAGE"))
	gate.Release()
	w.byKey("recovery/01GARBAGE", func(s *v1alpha1.RecoverySidecar) bool { return words(s.Status.Conditions, cStalled) == "False Settled" })
	w.becomes("ledger", v1alpha1.ConditionReady, "True Healthy")
}

// sidecarOf is the armed sidecar of an operation of ledger-0's first process,
// which nobody will finish.
func sidecarOf(t *testing.T, op manifest.OperationID, w *world) []byte {
	t.Helper()
	raw, err := recovery.EncodeSidecar(sidecarBody(op, w.manifest().Store))
	must(t, err)
	return raw
}

func foreignSidecar(t *testing.T, op manifest.OperationID) []byte {
	t.Helper()
	raw, err := recovery.EncodeSidecar(sidecarBody(op, "another-store"))
	must(t, err)
	return raw
}

func sidecarBody(op manifest.OperationID, store string) *recovery.Sidecar {
	return &recovery.Sidecar{
		Store: store, Operation: op, Attempt: "a", Writer: "ledger-0", Epoch: manifest.Epoch{Number: 1, Process: "long-gone"},
		Kind: recovery.KindCheckpoint, Base: 1, Started: time.Unix(1, 0), Tables: []recovery.TablePlan{{Table: "other", Number: 1}},
		Outcomes: recovery.OutcomeIDs{Publish: "p", Abandon: "b", RollBack: "r"},
	}
}

func TestAStoreThatCannotBeUsedSaysWhyAndTouchesNothing(t *testing.T) {
	contract.Row(t, 124, 163)
	for _, c := range []struct {
		name      string
		set       func(w *world, ws *v1alpha1.WALStore)
		condition string
		want      string
		says      string
		final     bool
	}{
		{"no audit key", func(_ *world, ws *v1alpha1.WALStore) { ws.Spec.Audit.KeySecretRef.Name = "none" },
			v1alpha1.ConditionAuditReady, "False AuditKeyMissing", "Secret", true},
		{"no credentials", func(_ *world, ws *v1alpha1.WALStore) { s3Root(ws, "none") },
			v1alpha1.ConditionRootClaimed, "False CredentialsMissing", "does not exist", true},
		{"half of the credentials", func(w *world, ws *v1alpha1.WALStore) {
			w.secret("half", v1alpha1.SecretAccessKeyID)
			s3Root(ws, "half")
		},
			v1alpha1.ConditionRootClaimed, "False CredentialsMissing", v1alpha1.SecretSecretAccessKey, true},
		{"the operator's own identity", func(_ *world, ws *v1alpha1.WALStore) { ws.Spec.Root.URI = "s3://bucket/root" },
			v1alpha1.ConditionRootClaimed, "False CredentialsMissing", "--ambient-roots", true},
		{"the operator's own disk", func(w *world, _ *v1alpha1.WALStore) { w.opt.AllowLocalRoots = false },
			v1alpha1.ConditionRootClaimed, "False RootNotAllowed", "--allow-local-roots", true},
		{"wrong credentials", func(w *world, ws *v1alpha1.WALStore) { w.refuses(objstore.ErrAccessDenied) },
			v1alpha1.ConditionRootClaimed, "False AccessDenied", "denied", false},
		{"no bucket", func(w *world, ws *v1alpha1.WALStore) { w.refuses(objstore.ErrNoSuchBucket) },
			v1alpha1.ConditionRootClaimed, "False NoSuchBucket", "no such bucket", false},
		{"no answer", func(w *world, ws *v1alpha1.WALStore) { w.refuses(context.DeadlineExceeded) },
			v1alpha1.ConditionRootClaimed, "False RootUnreachable", "", false},
		{"a manifest of a newer format", func(w *world, _ *v1alpha1.WALStore) { w.newerManifest() },
			v1alpha1.ConditionRootClaimed, "False RootNewerFormat", "upgrade salvor", true},
		{"a damaged identity", func(w *world, _ *v1alpha1.WALStore) { w.object(manifest.IdentityKey, []byte("x")) },
			v1alpha1.ConditionRootClaimed, "False RootUnreadable", "restore this object", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.store("ledger", 1, func(ws *v1alpha1.WALStore) { c.set(w, ws) })
			before := w.keys("")
			w.start()
			w.becomes("ledger", c.condition, c.want)
			got, _ := find(w.get("ledger").Status.Conditions, c.condition)
			if !strings.Contains(got.Message, c.says) {
				t.Errorf("it says: %s", got.Message)
			}
			if ready := w.condition("ledger", v1alpha1.ConditionReady); ready != c.want {
				t.Errorf("Ready is %s", ready)
			}
			if stalled := holds(w.get("ledger").Status.Conditions, v1alpha1.ConditionStalled); stalled != c.final {
				t.Errorf("Stalled is %t", stalled)
			}
			if c.condition == v1alpha1.ConditionAuditReady {
				return // the root is fine and ours
			}
			if after := w.keys(""); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("the root was touched: %v, was %v", after, before)
			}
		})
	}
}

func s3Root(ws *v1alpha1.WALStore, secret string) {
	ws.Spec.Root = v1alpha1.Root{URI: "s3://bucket/root", Credentials: &v1alpha1.Credentials{SecretRef: v1alpha1.LocalReference{Name: secret}}}
}

// refuses lets every request to the root fail until the operator is told otherwise.
func (w *world) refuses(err error) { w.root.On(anyVerb, "").Fail(err) }

func (w *world) newerManifest() {
	id, err := envelope.Encode("store", 1, manifest.Identity{UID: "u"})
	must(w.t, err)
	batch, err := envelope.Encode("manifest", 9, "of a later time")
	must(w.t, err)
	w.object(manifest.IdentityKey, id)
	w.object(manifest.Key(1), batch)
}

func TestAStoreThatIgnoresConditionsIsNeverPublishedTo(t *testing.T) {
	contract.Row(t, 124)
	w := newWorld(t)
	w.opt.OpenBucket = w.misbehaving
	w.store("ledger", 1)
	w.start()
	w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "False ConditionalWritesNotEnforced")
	if ready := w.condition("ledger", v1alpha1.ConditionReady); ready != "False ConditionalWritesNotEnforced" {
		t.Errorf("Ready is %s", ready)
	}
	throughout(t, never, "an untouched root", func() bool { return len(w.keys(manifest.Prefix))+len(w.keys(manifest.IdentityKey)) == 0 })
}

func TestACorrectedSecretIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.opt.BackoffMost = never
	w.store("ledger", 0, func(ws *v1alpha1.WALStore) { s3Root(ws, "creds") })
	w.start()
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "False CredentialsMissing")
	w.secret("creds", v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey)
	w.becomes("ledger", v1alpha1.ConditionRootClaimed, "True Claimed")
}
