// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// crash leaves one operation behind and waits until it is healed.
func (p *storePod) crash(table string) (rsc *v1alpha1.RecoverySidecar, object []byte) {
	p.w.t.Helper()
	op, _, _ := p.confirmedCommit(table)
	o, err := p.w.disk.Get(p.w.ctx, recovery.SidecarKey(op))
	must(p.w.t, err)
	p.kill()
	rsc = p.w.healed(op)
	p.restart()
	p.w.streaming("ledger")
	return rsc, o.Body
}

func TestTheAuditOutlivesTheResources(t *testing.T) {
	contract.Row(t, 143)
	w, pods := ledgerWorld(t, 1)
	for i := range 3 {
		pods[0].crash(fmt.Sprintf("table%d", i))
	}
	must(t, w.client.DeleteAllOf(w.ctx, &v1alpha1.RecoverySidecar{}, client.InNamespace(w.namespace)))
	throughout(t, never, "finished resources staying away", func() bool { return len(w.sidecars()) == 0 })
	if rows := w.rows(); len(rows) != 3 {
		t.Errorf("%d rows of 3 recoveries", len(rows))
	}
}

func TestAPendingResourceComesBack(t *testing.T) {
	w, pods := ledgerWorld(t, 1)
	w.object("recovery/01GARBAGE", []byte("not a sidecar"))
	w.stop()
	w.start()
	stalled := func(s *v1alpha1.RecoverySidecar) bool { return holds(s.Status.Conditions, cStalled) }
	first := w.byKey("recovery/01GARBAGE", stalled)
	must(t, w.client.Delete(w.ctx, first))
	w.byKey("recovery/01GARBAGE", func(s *v1alpha1.RecoverySidecar) bool { return s.UID != first.UID && stalled(s) })
	_ = pods
}

// A status may lag behind, and a listing too: what a get says is gone gets no
// resource.
func TestWhatIsGoneGetsNoResource(t *testing.T) {
	contract.Row(t, 96)
	w, pods := ledgerWorld(t, 1)
	const op = "01PHANTOM"
	pods[0].say(func() { pods[0].phantom = op })
	pods[0].tellOf(op)
	pods[0].hangUp()
	asked := func() bool {
		for _, c := range w.root.Calls() {
			if c.Key == recovery.SidecarKey(op) {
				return true
			}
		}
		return false
	}
	eventually(t, "a get of what the status named", asked)
	throughout(t, never, "no resource", func() bool { return len(w.sidecars()) == 0 })
}

func TestAFinishedResourceRetires(t *testing.T) {
	w, pods := ledgerWorld(t, 1, func(w *world) { w.opt.Retain = 2 * time.Second })
	pods[0].crash("accounts")
	eventually(t, "the finished resource to be gone", func() bool { return len(w.sidecars()) == 0 })
	if rows := w.rows(); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestOnlyTheNewestFinishedResourcesStay(t *testing.T) {
	w, pods := ledgerWorld(t, 1, func(w *world) { w.opt.RetainMost = 2 })
	newest := ""
	for i := range 4 {
		rsc, _ := pods[0].crash(fmt.Sprintf("table%d", i))
		newest = rsc.Name
	}
	eventually(t, "two to be left", func() bool { return len(w.sidecars()) == 2 }, func() string { return describeSidecars(w.sidecars()) })
	for _, s := range w.sidecars() {
		if s.Name == newest {
			return
		}
	}
	t.Errorf("the newest, %s, is gone", newest)
}

func TestASidecarThatComesBackGetsNoSecondRow(t *testing.T) {
	contract.Row(t, 99)
	for name, retain := range map[string]time.Duration{"its resource is still there": time.Hour, "its resource is gone": time.Second} {
		t.Run(name, func(t *testing.T) {
			w, pods := ledgerWorld(t, 1, func(w *world) { w.opt.Retain = retain })
			rsc, object := pods[0].crash("accounts")
			eventually(t, "the resource to be as it should", func() bool { return (len(w.sidecars()) == 0) == (retain == time.Second) })
			w.stop()
			w.object(rsc.Spec.Key, object) // the bucket was restored
			w.start()
			eventually(t, "the object to be removed again", func() bool { return len(w.keys(recovery.Prefix)) == 0 })
			if rows := w.rows(); len(rows) != 1 || rows[0].Kind != audit.RolledForward {
				t.Errorf("rows: %+v", rows)
			}
		})
	}
}

// Its time is over, and a get says that the object is back: it is not let go.
func TestAResourceWhoseObjectIsBackDoesNotRetire(t *testing.T) {
	w, pods := ledgerWorld(t, 1, func(w *world) { w.opt.Retain = 2 * time.Second })
	rsc, object := pods[0].crash("accounts")
	w.object(rsc.Spec.Key, object)
	eventually(t, "the object to be removed again", func() bool { return len(w.keys(recovery.Prefix)) == 0 })
	if rows := w.rows(); len(rows) != 1 {
		t.Errorf("rows: %+v", rows)
	}
}

func TestAResourceForNothingDoesNothing(t *testing.T) {
	w, _ := ledgerWorld(t, 1)
	keys := w.keys("")
	for _, name := range []string{"ledger", "no-such-store"} {
		w.create(&v1alpha1.RecoverySidecar{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "of-" + name},
			Spec:       v1alpha1.RecoverySidecarSpec{StoreRef: v1alpha1.LocalReference{Name: name}, Key: "recovery/01NOTHING", OperationID: "01NOTHING"},
		})
	}
	want := map[string]string{"of-ledger": "False SidecarGone", "of-no-such-store": "False StoreMissing"}
	eventually(t, "both to say why", func() bool {
		n := 0
		for _, s := range w.sidecars() {
			if words(s.Status.Conditions, cComplete) == want[s.Name] {
				n++
			}
		}
		return n == 2
	}, func() string { return describeSidecars(w.sidecars()) })
	for _, s := range w.sidecars() {
		if s.Name == "of-ledger" && words(s.Status.Conditions, cObserved) != "False SidecarGone" {
			t.Errorf("Observed is %s", words(s.Status.Conditions, cObserved))
		}
	}
	if after := w.keys(""); len(after) != len(keys) {
		t.Errorf("the root was touched: %v", after)
	}
	if got := w.condition("ledger", v1alpha1.ConditionReady); got != "True Healthy" {
		t.Errorf("somebody's mistake makes the store %s", got)
	}
}

// suspend sets spec.suspend of a store, or takes it away.
func (w *world) suspend(store string, s *v1alpha1.Suspension) {
	w.t.Helper()
	ws := w.get(store)
	ws.Spec.Suspend = s
	must(w.t, w.client.Update(w.ctx, ws))
}

func byAda(until time.Time) *v1alpha1.Suspension {
	return &v1alpha1.Suspension{By: "ada", Reason: "the root moves", Until: metav1.NewTime(until)}
}

// A suspended store is left alone, and everybody can see by whom, why and until when.
// It ends by the hand of whoever resumes it, or by itself.
func TestASuspendedStoreIsLeftAloneUntilItIsNot(t *testing.T) {
	contract.Row(t, 119)
	for name, end := range map[string]func(w *world){
		"resumed":   func(w *world) { w.suspend("ledger", nil) },
		"by itself": func(w *world) { w.suspend("ledger", byAda(time.Now().Add(2*time.Second))) },
	} {
		t.Run(name, func(t *testing.T) {
			w, pods := ledgerWorld(t, 1)
			until := time.Now().Add(time.Hour)
			w.suspend("ledger", byAda(until))
			w.becomes("ledger", v1alpha1.ConditionReady, "False Suspended")
			says := "suspended by ada until " + until.UTC().Format(time.RFC3339) + ": the root moves"
			if c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionReady); !strings.HasPrefix(c.Message, says) {
				t.Errorf("Ready says %q", c.Message)
			}
			op, _, _ := pods[0].confirmedCommit("accounts")
			version := w.manifest().Version
			pods[0].kill()
			eventually(t, "the operation to say that it waits", func() bool {
				s := w.sidecar(op)
				return s != nil && words(s.Status.Conditions, cComplete) == "False Suspended" && strings.Contains(s.Status.Message, says)
			})
			throughout(t, never, "nothing published", func() bool { return w.manifest().Version == version })
			end(w)
			w.healed(op)
			eventually(t, "the store to be suspended no more", func() bool { return w.condition("ledger", v1alpha1.ConditionReady) != "False Suspended" })
			if rows := w.rows(); len(rows) != 1 {
				t.Errorf("%+v", rows)
			}
		})
	}
}

// A suspension holds nothing back that is on its way out.
func TestASuspendedStoreCanBeDeleted(t *testing.T) {
	contract.Row(t, 119, 147)
	w, _ := ledgerWorld(t, 1)
	w.suspend("ledger", byAda(time.Now().Add(time.Hour)))
	w.becomes("ledger", v1alpha1.ConditionReady, "False Suspended")
	foreground := metav1.DeletePropagationForeground // it stays until its dependents are gone
	must(t, w.client.Delete(w.ctx, w.get("ledger"), &client.DeleteOptions{PropagationPolicy: &foreground}))
	eventually(t, "the operator to let go of it", func() bool { return w.metric("salvor_streams") == 0 })
	if f := w.get("ledger").Finalizers; len(f) != 1 || f[0] != metav1.FinalizerDeleteDependents {
		t.Errorf("finalizers %v", f)
	}
}

func TestNothingHangsWhenAStoreGoes(t *testing.T) {
	contract.Row(t, 147)
	w, pods := ledgerWorld(t, 1)
	pods[0].crash("accounts")
	for _, s := range w.sidecars() {
		if len(s.Finalizers) != 0 || len(s.OwnerReferences) != 1 || s.OwnerReferences[0].UID != w.get("ledger").UID || *s.OwnerReferences[0].Controller != true {
			t.Errorf("finalizers %v, owners %+v", s.Finalizers, s.OwnerReferences)
		}
	}
	if f := w.get("ledger").Finalizers; len(f) != 0 {
		t.Errorf("finalizers %v", f)
	}
	keys := w.keys("")
	must(t, w.client.Delete(w.ctx, w.get("ledger")))
	pods[0].kill()
	throughout(t, never, "an untouched root", func() bool { return len(w.keys("")) == len(keys) })
	var ns corev1.Namespace
	must(t, w.client.Get(w.ctx, client.ObjectKey{Name: w.namespace}, &ns))
	must(t, w.client.Delete(w.ctx, &ns))
}

func TestATerminatingNamespaceGetsNoNewResources(t *testing.T) {
	contract.Row(t, 147)
	w, pods := ledgerWorld(t, 1)
	op, _, _ := pods[0].confirmedCommit("accounts")
	var ns corev1.Namespace
	must(t, w.client.Get(w.ctx, client.ObjectKey{Name: w.namespace}, &ns))
	must(t, w.client.Delete(w.ctx, &ns)) // stays Terminating: nobody here finalizes it
	before := w.api.count()
	pods[0].kill()
	eventually(t, "a try to make the resource", func() bool { return len(w.api.writes(before, "recoverysidecars")) > 0 })
	throughout(t, 2*never, "no hot loop", func() bool { return len(w.api.writes(before, "recoverysidecars")) <= 3 })
	if s := w.sidecar(op); s != nil {
		t.Errorf("made %s in a namespace that goes away", s.Name)
	}
}

func TestEventsTellTheStory(t *testing.T) {
	contract.Row(t, 149)
	w, pods := ledgerWorld(t, 1)
	rsc, _ := pods[0].crash("accounts")
	eventually(t, "an event of the recovery", func() bool {
		var l eventsv1.EventList
		must(t, w.client.List(w.ctx, &l, client.InNamespace(w.namespace)))
		for _, e := range l.Items {
			if e.Regarding.Name == rsc.Name && e.Reason == "Recovered" && e.Action == "Recover" && e.Related != nil && e.Related.Name == "ledger" {
				return true
			}
		}
		return false
	})
	families, err := w.meters.Gather()
	must(t, err)
	seen := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			seen[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{"salvor_recoveries_total": 1, "salvor_fences_total": 1, "salvor_streams": 1, "salvor_isolated": 0, "salvor_pending_sidecars": 0, "salvor_store_ready": 1} {
		if got, ok := seen[name]; !ok || got != want {
			t.Errorf("%s is %v (there: %t), want %v", name, got, ok, want)
		}
	}
}

func TestAPoisonedLogIsSaid(t *testing.T) {
	w, pods := ledgerWorld(t, 2)
	pods[1].say(func() { pods[1].poison = "fsync: input/output error" })
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "True LogPoisoned")
	w.becomes("ledger", v1alpha1.ConditionReady, "False LogPoisoned")
	pods[1].say(func() { pods[1].poison = "" })
	w.streaming("ledger")
}
