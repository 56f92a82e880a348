// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// claims puts the data directory of a pod onto a claim of its own, where the world wants
// that.
func (w *world) claims(pod *corev1.Pod) {
	if !w.claimed {
		return
	}
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-" + pod.Name},
	}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "data"}}
}

// onClaims is a world whose logs lie on claims of 1 GiB.
func onClaims(w *world) { w.claimed = true }

const diskSize = 1 << 30

// uidOf is the uid of a pod; empty: it is gone.
func (w *world) uidOf(pod string) types.UID {
	w.t.Helper()
	var p corev1.Pod
	err := w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: pod}, &p)
	if !apierrors.IsNotFound(err) {
		must(w.t, err)
	}
	return p.UID
}

// evictions are the requests for them so far.
func (w *world) evictions() []string { return w.api.writes(0, "/eviction") }

// evicted waits until a pod is gone. Its end is the kubelet's, which is not here.
func (w *world) evicted(pod string) {
	w.t.Helper()
	eventually(w.t, pod+" to be evicted", func() bool { return w.uidOf(pod) == "" }, func() string {
		return fmt.Sprintf("%+v\n%v", w.get("ledger").Status.Conditions, w.evictions())
	})
}

// beforeEviction calls f before each eviction goes to the API server; false loses it.
func (w *world) beforeEviction(f func() bool) {
	w.wrap = func(rt http.RoundTripper) http.RoundTripper {
		return roundTrip(func(q *http.Request) (*http.Response, error) {
			if strings.HasSuffix(q.URL.Path, "/eviction") && !f() {
				return nil, errors.New("the connection was lost")
			}
			return rt.RoundTrip(q)
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

// replaced is the StatefulSet's controller and the kubelet, after an eviction: the
// process ends, and another one starts on the same volume.
func (p *servedPod) replaced() {
	p.w.t.Helper()
	p.die()
	p.made()
	p.again()
}

// failsNext makes the next fsync of a pod fail, and sees to it that it does.
func (p *servedPod) failsNext(key string, err error) {
	p.w.t.Helper()
	p.log.Fail(logtest.Sync, p.log.Count(logtest.Sync)+1, err)
	if err := <-p.write(key); err == nil {
		p.w.t.Fatal("the log did not fail")
	}
}

// poisons says that the log of a pod has failed.
func (p *storePod) poisons(class control.FailureClass) {
	p.say(func() { p.poison, p.failure = "fsync: "+string(class), &control.Failure{Op: "fsync", Class: class} })
}

// replaced is the StatefulSet's controller and the kubelet.
func (p *storePod) replaced(n int) *storePod {
	p.w.t.Helper()
	p.hangUp()
	store, _, _ := strings.Cut(p.name, "-")
	next := p.w.podAt(p.w.address(), store, n)
	next.say(func() { next.durable, next.published, next.room = p.durable, p.durable, p.room })
	return next
}

// One failing fsync in one pod of three: that pod goes once, after that was written
// down, and comes back with everything that it had acknowledged; the others are not
// touched.
func TestAPodWhoseLogFailedIsRestartedOnce(t *testing.T) {
	contract.Row(t, 134)
	var written []int // how many restarts are, when an eviction is asked for
	w, pods := ledgerServed(t, 3, onClaims, func(w *world) {
		w.beforeEviction(func() bool { written = append(written, len(w.get("ledger").Status.Restarts)); return true })
	})
	for i, p := range pods {
		p.log.Resize(diskSize)
		for k := range 3 {
			must(t, <-p.write(fmt.Sprint("before", i, k)))
		}
	}
	uids := []types.UID{w.uidOf("ledger-0"), w.uidOf("ledger-1"), w.uidOf("ledger-2")}
	others := []string{pods[0].Store.Status().Process, pods[2].Store.Status().Process}
	pods[1].failsNext("unknown", syscall.EIO)
	if st := pods[1].Store.Status(); st.Poison == nil || st.Poison.Op != "fsync" || st.Poison.Class != control.IO || !strings.Contains(st.PoisonReason, "input/output error") || st.Disk == nil {
		t.Fatalf("%+v", st)
	}
	w.evicted("ledger-1")
	pods[1].replaced()
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "False LogsHealthy")
	w.streaming("ledger")
	throughout(t, never, "no more evictions", func() bool { return len(w.evictions()) == 1 })
	if len(written) != 1 || written[0] != 1 {
		t.Errorf("evicted before it was written down: %v", written)
	}
	for k := range 3 {
		if !pods[1].reads(fmt.Sprint("before", 1, k)) {
			t.Errorf("an acknowledged write is lost: %d", k)
		}
	}
	must(t, <-pods[1].write("after"))
	if w.uidOf("ledger-0") != uids[0] || w.uidOf("ledger-2") != uids[2] || w.uidOf("ledger-1") == uids[1] ||
		pods[0].Store.Status().Process != others[0] || pods[2].Store.Status().Process != others[1] {
		t.Error("another pod was touched, or this one was not")
	}
	done := w.get("ledger").Status.Restarts
	if len(done) != 1 || done[0].Pod != "ledger-1" || done[0].Cause != "IO" || done[0].Process == "" || done[0].Time.IsZero() {
		t.Errorf("%+v", done)
	}
	if n := w.metric("salvor_restarts_total"); n != 1 {
		t.Errorf("counted %v", n)
	}
	eventually(t, "an event", func() bool {
		return len(slices.DeleteFunc(w.api.since(0), func(r string) bool {
			return !strings.Contains(r, "PodRestarting") || !strings.Contains(r, "pod ledger-1 is restarted: IO: the log is poisoned: fsync failed")
		})) == 1
	}, func() string { return strings.Join(w.api.writes(0, "/events"), "\n") })
	if rows, left := w.rows(), w.sidecars(); len(rows) != 0 || len(left) != 0 {
		t.Errorf("left over: %v %v", rows, left)
	}
}

// A full volume is reported with its claim, its bytes and what to do; no pod goes for
// it, for an hour; and when there is room, one restart.
func TestAFullVolumeIsReportedAndNotRestarted(t *testing.T) {
	contract.Row(t, 134)
	clk := newClock(1)
	w, pods := ledgerServed(t, 2, onClaims, func(w *world) { w.opt.Now = clk.now })
	p := pods[1]
	must(t, <-p.write("before"))
	size := p.log.Used() + 100
	p.log.Resize(size)
	if err := <-p.write("too much"); err == nil {
		t.Fatal("it went onto a full disk")
	}
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "True VolumeFull")
	w.becomes("ledger", v1alpha1.ConditionStalled, "True VolumeFull")
	w.becomes("ledger", v1alpha1.ConditionReady, "False VolumeFull")
	c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionStalled)
	for _, want := range []string{
		"pod ledger-1: the log is poisoned: write failed: ", "no space left on device",
		fmt.Sprintf("PersistentVolumeClaim data-ledger-1 has %d of %d bytes used", p.log.Used(), size),
		fmt.Sprintf("kubectl -n %s patch pvc data-ledger-1 -p", w.namespace),
	} {
		if !strings.Contains(c.Message, want) {
			t.Errorf("%q lacks %q", c.Message, want)
		}
	}
	for range 60 {
		clk.forward(time.Minute)
		w.nudge("ledger")
	}
	throughout(t, never, "no eviction", func() bool { return len(w.evictions()) == 0 && w.uidOf("ledger-1") != "" })
	if w.condition("ledger", v1alpha1.ConditionPoisoned) != "True VolumeFull" || len(w.get("ledger").Status.Restarts) != 0 {
		t.Errorf("%+v", w.get("ledger").Status)
	}
	p.log.Resize(diskSize) // somebody has made the claim larger
	eventually(t, "the pod to be evicted", func() bool {
		clk.forward(time.Minute)
		w.nudge("ledger")
		return w.uidOf("ledger-1") == ""
	}, func() string { return fmt.Sprintf("%+v", p.Store.Status()) })
	p.replaced()
	w.streaming("ledger")
	if done := w.get("ledger").Status.Restarts; len(done) != 1 || done[0].Cause != "DiskFull" || len(w.evictions()) != 1 || !p.reads("before") {
		t.Errorf("%+v, %v", done, w.evictions())
	}
	must(t, <-p.write("after"))
}

// A log that fails again and again: three restarts in an hour, whoever is the operator,
// then a person; and when the hour is over, one more.
func TestRestartsHaveABudgetThatOutlivesTheOperator(t *testing.T) {
	contract.Row(t, 134)
	clk := newClock(1)
	w, pods := ledgerWorld(t, 2, onClaims, func(w *world) { w.opt.Now = clk.now })
	p := pods[1]
	for i := range 3 {
		p.poisons(control.IO)
		w.evicted("ledger-1")
		p = p.replaced(1)
		w.streaming("ledger")
		clk.forward(time.Minute)
		if i == 1 {
			w.stop()
			w.start()
			w.streaming("ledger")
		}
	}
	p.poisons(control.IO)
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "True RestartsSpent")
	w.becomes("ledger", v1alpha1.ConditionStalled, "True RestartsSpent")
	for range 50 {
		clk.forward(time.Minute)
		w.nudge("ledger")
	}
	throughout(t, never, "no fourth eviction", func() bool { return w.uidOf("ledger-1") != "" && len(w.get("ledger").Status.Restarts) == 3 })
	clk.forward(7*time.Minute + 30*time.Second) // an hour after the first of them, and not after the second
	w.nudge("ledger")
	w.evicted("ledger-1")
	p.replaced(1)
	w.streaming("ledger")
	if done := w.get("ledger").Status.Restarts; len(done) != 3 || done[2].Pod != "ledger-1" { // the oldest counts no more
		t.Errorf("%+v", done)
	}
	if w.uidOf("ledger-0") == "" || w.manifest().Writers["ledger-0"].Number != 1 {
		t.Error("another pod was touched")
	}
}

// What a writer has begun is settled before its pod goes.
func TestARestartWaitsForWhatPends(t *testing.T) {
	contract.Row(t, 134)
	w, pods := ledgerWorld(t, 2, onClaims)
	_, gate, done := pods[1].confirmedCommit("accounts")
	pods[1].poisons(control.IO)
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "True RestartWaits")
	throughout(t, never, "the pod to stay", func() bool { return len(w.evictions()) == 0 && len(w.get("ledger").Status.Restarts) == 0 })
	gate.Release()
	if c := <-done; c.err != nil {
		t.Fatal(c.err)
	}
	w.evicted("ledger-1")
	if pend := w.keys("recovery/"); len(pend) != 0 {
		t.Errorf("it went and left %v", pend)
	}
	pods[1].replaced(1)
	w.streaming("ledger")
}

// A log that goes with its pod is published first, hastened by the operator.
func TestAVolumeThatGoesWithItsPodIsPublishedFirst(t *testing.T) {
	contract.Row(t, 134)
	w, pods := ledgerServed(t, 1)
	must(t, <-pods[0].write("before"))
	pods[0].failsNext("unknown", errors.New("the disk has melted"))
	w.evicted("ledger-0")
	if st := pods[0].Store.Status(); st.Published < st.Durable || st.Poison.Class != control.OtherFailure {
		t.Errorf("it went before the root had everything: %+v", st)
	}
	pods[0].die()
	pods[0].made()
	pods[0].log = logtest.New() // nothing of it is left
	pods[0].restarts++
	pods[0].up()
	w.streaming("ledger")
	if !pods[0].reads("before") {
		t.Error("an acknowledged write is lost")
	}
}
