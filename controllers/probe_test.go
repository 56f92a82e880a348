// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// behind lets an operator see the root through another store.
func (w *world) behind(b objstore.Bucket) {
	w.opt.OpenBucket = func(context.Context, v1alpha1.Root, Access) (objstore.Bucket, error) { return b, nil }
}

// Stores that keep no promise, each in its way, and servers that answer nothing
// clear: none is ever Ready, and nothing is published to any.
func TestAStoreWithoutPromisesIsNeverPublishedTo(t *testing.T) {
	contract.Row(t, 124)
	busy := errors.New("409 ConditionalRequestConflict")
	for _, c := range []struct {
		name   string
		store  func(w *world) objstore.Bucket
		reason string
		final  bool
	}{
		{"ignores the condition", func(w *world) objstore.Bucket { return fault.IgnoresIfAbsent(w.disk) }, v1alpha1.ReasonConditionalWritesNotEnforced, true},
		{"checks, then writes", func(w *world) objstore.Bucket {
			return fault.ChecksThenWrites(w.disk, func(key string) bool { return strings.HasPrefix(key, "probe/") && strings.HasSuffix(key, "/b") })
		}, v1alpha1.ReasonConditionalWritesNotEnforced, true},
		{"lists late", func(w *world) objstore.Bucket { return fault.ListsLate(w.disk) }, v1alpha1.ReasonConditionalWritesNotEnforced, true},
		{"remembers what was deleted", func(w *world) objstore.Bucket { return fault.RemembersDeleted(w.disk) }, v1alpha1.ReasonConditionalWritesNotEnforced, true},
		{"keeps what was deleted", func(w *world) objstore.Bucket { return fault.KeepsDeleted(w.disk) }, v1alpha1.ReasonConditionalWritesNotEnforced, true},
		{"always answers 409", func(w *world) objstore.Bucket {
			w.root.On(fault.PutIfAbsent, "").Fail(busy)
			return w.root
		}, v1alpha1.ReasonProbeFailed, false},
		{"loses the answers of puts", func(w *world) objstore.Bucket {
			w.root.On(fault.PutIfAbsent, "").LoseAnswer()
			return w.root
		}, v1alpha1.ReasonProbeFailed, false},
		{"loses every second answer of a put", func(w *world) objstore.Bucket {
			w.root.When("every second put", everySecond(fault.PutIfAbsent)).LoseAnswer()
			return w.root
		}, v1alpha1.ReasonProbeFailed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.opt.BackoffMost = never / 4 // it looks again and again
			w.behind(c.store(w))
			w.store("ledger", 1)
			w.start()
			w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "False "+c.reason)
			throughout(t, never, "never Ready, and nothing but the probe's own keys", func() bool {
				for _, key := range w.keys("") {
					if !strings.HasPrefix(key, "probe/") {
						t.Errorf("there is %s", key)
						return false
					}
				}
				return w.condition("ledger", v1alpha1.ConditionReady) == "False "+c.reason
			})
			ws := w.get("ledger")
			if stalled := holds(ws.Status.Conditions, v1alpha1.ConditionStalled); stalled != c.final {
				t.Errorf("Stalled is %t", stalled)
			}
			if ws.Status.Root != nil {
				t.Errorf("it remembers a root that it has not taken: %+v", ws.Status.Root)
			}
		})
	}
}

func everySecond(v fault.Verb) func(fault.Call) bool {
	var n atomic.Int32
	return func(c fault.Call) bool { return c.Verb == v && n.Add(1)%2 == 0 }
}

// downgraded is a store that forgets its promises while it is in use.
type downgraded struct {
	objstore.Bucket
	broken atomic.Bool
	lax    objstore.Bucket
}

func (d *downgraded) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if d.broken.Load() {
		return d.lax.PutIfAbsent(ctx, key, body, attempt)
	}
	return d.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

// A day later a proxy drops the condition. The probe is repeated and finds it;
// until one finds the promises kept again, no recovery writes anything.
func TestAPromiseThatIsBrokenLaterStopsRecoveries(t *testing.T) {
	contract.Row(t, 124)
	clk := newClock(1)
	var store *downgraded
	w, pods := ledgerWorld(t, 1, func(w *world) {
		store = &downgraded{Bucket: w.root, lax: fault.IgnoresIfAbsent(w.root)}
		w.behind(store)
		w.opt.Now, w.opt.BackoffMost = clk.now, never
	})
	probes := func() (n int) {
		for _, c := range w.root.Calls() {
			if c.Verb == fault.PutIfAbsent && strings.HasPrefix(c.Key, "probe/") {
				n++
			}
		}
		return n
	}
	first := probes()
	clk.forward(20 * time.Hour)
	w.nudge("ledger")
	eventually(t, "a look that comes before the next probe", func() bool { return w.root.Count(fault.List) > 3 })
	if n := probes(); n != first {
		t.Fatalf("probed again after 20 hours: %d puts, then %d", first, n)
	}

	store.broken.Store(true)
	clk.forward(5 * time.Hour)
	w.nudge("ledger")
	w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "False ConditionalWritesNotEnforced")
	if got := w.condition("ledger", v1alpha1.ConditionReady); got != "False ConditionalWritesNotEnforced" {
		t.Errorf("Ready is %s", got)
	}
	op, _, _ := pods[0].confirmedCommit("accounts")
	before, root := w.manifest().Version, fmt.Sprint(w.keys(recovery.Prefix))
	pods[0].kill()
	eventually(t, "the recovery to say that it waits", func() bool {
		rsc := w.sidecar(op)
		return rsc != nil && rsc.Status.Reason == v1alpha1.ReasonStoreNotReady
	}, func() string { return describeSidecars(w.sidecars()) })
	again := probes()
	eventually(t, "more probes", func() bool { return probes() > again })
	if v, keys := w.manifest().Version, fmt.Sprint(w.keys(recovery.Prefix)); v != before || keys != root || len(w.rows()) != 0 {
		t.Errorf("the root was written to: manifest %d, was %d; %s, was %s; %d rows", v, before, keys, root, len(w.rows()))
	}

	store.broken.Store(false)
	w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "True ProbePassed")
	w.healed(op)
	w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
	w.oneRow(op, audit.RolledForward)
	if left := w.keys("probe/"); len(left) != 0 {
		t.Errorf("the probes left %v", left)
	}
}

// Every change of the root's settings is a new root as far as promises go.
func TestAChangeOfTheRootIsProbed(t *testing.T) {
	contract.Row(t, 124)
	w := newWorld(t)
	store := &downgraded{Bucket: w.root, lax: fault.IgnoresIfAbsent(w.root)}
	w.behind(store)
	w.opt.BackoffMost = never
	w.secret("creds", v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey)
	w.store("ledger", 0, func(ws *v1alpha1.WALStore) { s3Root(ws, "creds") })
	w.start()
	w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "True ProbePassed")
	store.broken.Store(true)
	ws := w.get("ledger")
	ws.Spec.Root.Endpoint = "http://another-way-in.example"
	must(t, w.client.Update(w.ctx, ws))
	w.becomes("ledger", v1alpha1.ConditionConditionalWritesVerified, "False ConditionalWritesNotEnforced")
}
