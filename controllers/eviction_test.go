// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/test/contract"
)

// A budget that allows no disruption is waited for, and said; when it allows one, the pod
// goes.
func TestAnEvictionWaitsForTheBudget(t *testing.T) {
	contract.Row(t, 134)
	clk := newClock(1)
	w, pods := ledgerWorld(t, 2, onClaims, func(w *world) { w.opt.Now = clk.now })
	b := w.budget("strict", "ledger", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: new(intstr.FromInt32(1))})
	must(t, w.client.Create(w.ctx, b))
	b.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, ExpectedPods: 2, CurrentHealthy: 1, DesiredHealthy: 1}
	must(t, w.client.Status().Update(w.ctx, b))
	pods[1].poisons(control.IO)
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "True EvictionRefused")
	c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionPoisoned)
	if !strings.Contains(c.Message, "strict") || !strings.Contains(c.Message, "disruption budget") {
		t.Errorf("it says %q", c.Message)
	}
	if w.condition("ledger", v1alpha1.ConditionReconciling) != "True Progressing" || w.condition("ledger", v1alpha1.ConditionStalled) != "False Settled" {
		t.Errorf("%+v", w.get("ledger").Status.Conditions)
	}
	throughout(t, never, "the pod to stay", func() bool { w.nudge("ledger"); return w.uidOf("ledger-1") != "" && len(w.evictions()) == 1 })
	must(t, w.client.Get(w.ctx, client.ObjectKeyFromObject(b), b))
	b.Status.CurrentHealthy, b.Status.DisruptionsAllowed = 2, 1
	must(t, w.client.Status().Update(w.ctx, b))
	clk.forward(15 * time.Second)
	w.nudge("ledger")
	w.evicted("ledger-1")
	pods[1].replaced(1)
	w.streaming("ledger")
	if done := w.get("ledger").Status.Restarts; len(done) != 1 {
		t.Errorf("a refusal is counted: %+v", done)
	}
}

// A budget that its controller has not looked at yet holds nobody up: the operator says so,
// and asks again later.
func TestAnEvictionIsNotWaitedForLong(t *testing.T) {
	contract.Row(t, 134)
	w, pods := ledgerWorld(t, 1, onClaims)
	must(t, w.client.Create(w.ctx, w.budget("new", "ledger", policyv1.PodDisruptionBudgetSpec{MaxUnavailable: new(intstr.FromInt32(1))})))
	pods[0].poisons(control.IO)
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "True EvictionRefused")
	if w.uidOf("ledger-0") == "" || len(w.get("ledger").Status.Restarts) != 1 {
		t.Errorf("%+v", w.get("ledger").Status)
	}
}

// The operator dies after it has written a restart down and before the pod went: its
// successor does it, and counts it once.
func TestARestartOutlivesItsOperator(t *testing.T) {
	contract.Row(t, 134)
	var lets atomic.Bool
	w, pods := ledgerWorld(t, 2, onClaims, func(w *world) { w.beforeEviction(lets.Load) })
	pods[1].poisons(control.IO)
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "True EvictionRefused")
	before := w.get("ledger").Status.Restarts
	w.stop()
	lets.Store(true)
	w.start()
	w.evicted("ledger-1")
	pods[1].replaced(1)
	w.streaming("ledger")
	if done := w.get("ledger").Status.Restarts; len(before) != 1 || len(done) != 1 || done[0] != before[0] {
		t.Errorf("%+v, before %+v", done, before)
	}
}

// What an admin has turned off is left alone, and said; turned on again, it goes on.
func TestWhatIsTurnedOffIsNotRestarted(t *testing.T) {
	contract.Row(t, 134)
	for name, c := range map[string]struct {
		off, on func(*v1alpha1.WALStore)
		says    string
	}{
		"Never": {
			func(ws *v1alpha1.WALStore) { ws.Spec.Recovery.RestartPoisoned = v1alpha1.RestartNever },
			func(ws *v1alpha1.WALStore) { ws.Spec.Recovery.RestartPoisoned = v1alpha1.RestartAutomatic }, "True RestartsOff",
		},
		"mode Plan": {
			func(ws *v1alpha1.WALStore) { ws.Spec.Recovery.Mode = v1alpha1.RecoveryPlan },
			func(ws *v1alpha1.WALStore) { ws.Spec.Recovery.Mode = v1alpha1.RecoveryAutomatic }, "True PlanOnly",
		},
		"suspended": {
			func(ws *v1alpha1.WALStore) {
				ws.Spec.Suspend = &v1alpha1.Suspension{By: "ada", Reason: "the disk is looked at", Until: metav1.NewTime(time.Now().Add(time.Hour))}
			},
			func(ws *v1alpha1.WALStore) { ws.Spec.Suspend = nil }, "True Suspended",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, pods := ledgerWorld(t, 1, onClaims)
			change := func(f func(*v1alpha1.WALStore)) {
				eventually(t, "the spec to be changed", func() bool {
					ws := w.get("ledger")
					f(ws)
					return w.client.Update(w.ctx, ws) == nil
				})
			}
			change(c.off)
			eventually(t, "that to be seen", func() bool { ws := w.get("ledger"); return ws.Status.ObservedGeneration == ws.Generation })
			pods[0].poisons(control.IO)
			w.becomes("ledger", v1alpha1.ConditionPoisoned, c.says)
			throughout(t, never, "the pod to stay", func() bool { return len(w.evictions()) == 0 && w.uidOf("ledger-0") != "" })
			change(c.on)
			w.evicted("ledger-0")
		})
	}
}

// restarts sets the switch of a WALStore, and waits until that was seen.
func (w *world) restarts(store string, policy v1alpha1.RestartPolicy) {
	w.t.Helper()
	eventually(w.t, "the spec to be changed", func() bool {
		ws := w.get(store)
		ws.Spec.Recovery.RestartPoisoned = policy
		return w.client.Update(w.ctx, ws) == nil
	})
	eventually(w.t, "that to be seen", func() bool { ws := w.get(store); return ws.Status.ObservedGeneration == ws.Generation })
}

// A frozen store's pod is restarted: what starts heeds the lock, and what was
// acknowledged is in its log.
func TestAFrozenStoresPodIsRestarted(t *testing.T) {
	contract.Row(t, 134)
	w, pods := ledgerServed(t, 2, onClaims)
	must(t, <-pods[1].write("before"))
	w.restarts("ledger", v1alpha1.RestartNever)
	pods[1].log.Resize(diskSize)
	pods[1].failsNext("unknown", syscall.EIO)
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "True RestartsOff")
	m := w.freeze("restart")
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	w.restarts("ledger", v1alpha1.RestartAutomatic)
	w.evicted("ledger-1")
	pods[1].replaced()
	w.smt("restart", v1alpha1.ConditionHeld, "True Frozen")
	eventually(t, "the new process to heed the lock", func() bool { return pods[1].Store.Status().State == control.Frozen })
	if !pods[1].reads("before") {
		t.Error("an acknowledged write is lost")
	}
	w.thaw(m)
	w.unlocked("ledger")
	must(t, <-pods[1].write("after"))
}

// The pods of a managed store are restarted like any other's.
func TestAManagedPodIsRestarted(t *testing.T) {
	contract.Row(t, 134)
	w := newWorld(t)
	w.claimed = true
	pods := w.managedPods("ledger", 2)
	var b policyv1.PodDisruptionBudget // of the operator; whose controller is not here
	must(t, w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "ledger"}, &b))
	b.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, ExpectedPods: 2, CurrentHealthy: 2, DesiredHealthy: 1, DisruptionsAllowed: 1}
	must(t, w.client.Status().Update(w.ctx, &b))
	pods[0].poisons(control.ReadOnlyFilesystem)
	w.evicted("ledger-0")
	pods[0].replaced(0)
	w.streaming("ledger")
	if done := w.get("ledger").Status.Restarts; len(done) != 1 || done[0].Pod != "ledger-0" || done[0].Cause != "ReadOnlyFilesystem" || w.uidOf("ledger-1") == "" {
		t.Errorf("%+v", done)
	}
}

// An eviction is of the pod that was decided about: another one that has its name by the
// time the request arrives stays.
func TestAnEvictionNamesItsPod(t *testing.T) {
	contract.Row(t, 134)
	var another func()
	w, pods := ledgerWorld(t, 2, onClaims, func(w *world) {
		w.beforeEviction(func() bool { another(); return true })
	})
	var uid types.UID
	another = sync.OnceFunc(func() {
		pods[1].hangUp()
		must(t, w.client.Delete(w.ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ledger-1"}}, client.GracePeriodSeconds(0)))
		w.podDown(w.address(), "ledger", 1)
		uid = w.uidOf("ledger-1")
	})
	pods[1].poisons(control.IO)
	eventually(t, "the eviction to arrive", func() bool { return len(w.evictions()) > 0 })
	throughout(t, never, "the other pod to stay", func() bool { return uid != "" && w.uidOf("ledger-1") == uid })
}

// Before a pod goes everything is looked at anew, the WALStore on the API server itself:
// what an admin has turned off a moment ago is off, although no watch has told it.
func TestBeforeAPodGoesEverythingIsLookedAtAnew(t *testing.T) {
	contract.Row(t, 134)
	var w *world
	written := func() bool { return len(w.get("ledger").Status.Restarts) > 0 }
	off := sync.OnceFunc(func() { w.turnOff("ledger") })
	_, pods := ledgerWorld(t, 1, onClaims, func(it *world) {
		w = it
		w.wrap = func(rt http.RoundTripper) http.RoundTripper {
			return roundTrip(func(q *http.Request) (*http.Response, error) {
				if q.Method == http.MethodGet && strings.HasSuffix(q.URL.Path, "/walstores/ledger") && written() {
					off()
				}
				return rt.RoundTrip(q)
			})
		}
	})
	pods[0].poisons(control.IO)
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "True RestartsOff")
	throughout(t, never, "the pod to stay", func() bool { return len(w.evictions()) == 0 && w.uidOf("ledger-0") != "" })
	if !written() {
		t.Error("it was never written down, so nothing was shown")
	}
}

// turnOff sets the switch on the API server, without a wait for anybody to see it.
func (w *world) turnOff(store string) {
	w.t.Helper()
	eventually(w.t, "the spec to be changed", func() bool {
		ws := w.get(store)
		ws.Spec.Recovery.RestartPoisoned = v1alpha1.RestartNever
		return w.client.Update(w.ctx, ws) == nil
	})
}
