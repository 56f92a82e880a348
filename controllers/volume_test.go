// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/maintenance/restart"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/test/contract"
)

// What a data directory lies on, by the longest mount above it, and whether that
// outlives the pod.
func TestVolumeOf(t *testing.T) {
	contract.Row(t, 134)
	claim := corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-a-0"}}
	empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	memory := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}
	for _, c := range []struct {
		name, dir string
		mounts    map[string]string // path: volume
		want      string
	}{
		{"a claim", "/data", map[string]string{"/data": "claim"}, "data-a-0 PersistentVolumeClaim data-a-0 true"},
		{"below a claim", "/var/lib/salvor/log", map[string]string{"/var/lib/salvor/": "claim", "/var": "empty"}, "data-a-0 PersistentVolumeClaim data-a-0 true"},
		{"an emptyDir below a claim", "/data/log", map[string]string{"/data": "claim", "/data/log": "empty"}, " volume empty (an emptyDir) false"},
		{"in memory", "/data", map[string]string{"/data": "memory"}, " volume memory (an emptyDir in memory) false"},
		{"a claim that goes with the pod", "/data", map[string]string{"/data": "own"}, "a-0-own PersistentVolumeClaim a-0-own false"},
		{"something else", "/data", map[string]string{"/data": "host"}, " volume host false"},
		{"beside", "/data2", map[string]string{"/data": "claim"}, " the container's own file system false"},
		{"everything", "/data", map[string]string{"/": "claim"}, "data-a-0 PersistentVolumeClaim data-a-0 true"},
		{"it does not say where", "", map[string]string{"/data": "claim"}, " the container's own file system false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a-0"}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "store"}},
				Volumes: []corev1.Volume{
					{Name: "claim", VolumeSource: claim}, {Name: "empty", VolumeSource: empty}, {Name: "memory", VolumeSource: memory},
					{Name: "own", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
					{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv"}}},
				},
			}}
			for path, name := range c.mounts {
				pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path})
			}
			if v := volumeOf(pod, c.dir); fmt.Sprint(v.claim, " ", v.is, " ", v.stays) != c.want {
				t.Errorf("%+v, want %s", v, c.want)
			}
		})
	}
}

// Whoever looks is told before a volume is full; with the claim and the command.
func TestAVolumeThatIsNearlyFullIsSaid(t *testing.T) {
	contract.Row(t, 134)
	w, pods := ledgerWorld(t, 2, onClaims)
	pods[1].say(func() { pods[1].room = &control.Disk{Dir: "data", Total: 1 << 30, Free: 32 << 20, Needs: 16 << 20} })
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "False VolumeNearlyFull")
	c, _ := find(w.get("ledger").Status.Conditions, v1alpha1.ConditionPoisoned)
	if want := "pod ledger-1: PersistentVolumeClaim data-ledger-1 is used to 97 % of its 1073741824 bytes: kubectl -n " + w.namespace + " patch pvc data-ledger-1"; !strings.HasPrefix(c.Message, want) || !strings.Contains(c.Message, `"storage":"2048Mi"`) {
		t.Errorf("it says %q", c.Message)
	}
	if got := w.metric("salvor_log_volume_used_ratio"); got < 0.96 || got > 0.98 || w.condition("ledger", v1alpha1.ConditionReady) != "True Healthy" {
		t.Errorf("%v used", got)
	}
	pods[1].say(func() { pods[1].room.Free = 1 << 29 })
	w.becomes("ledger", v1alpha1.ConditionPoisoned, "False LogsHealthy")
	for _, c := range []struct {
		d    *control.Disk
		want bool
	}{{nil, false}, {&control.Disk{}, false}, {&control.Disk{Total: 100, Free: 10}, false}, {&control.Disk{Total: 100, Free: 9}, true}, {&control.Disk{Total: 100, Free: 50, Needs: 51}, true}} {
		if nearlyFull(c.d) != c.want {
			t.Errorf("%+v", c.d)
		}
	}
}

// One word means the same wherever it travels: in the log, in the status of a process,
// in the decision.
func TestCausesAreTheSameEverywhere(t *testing.T) {
	contract.Row(t, 134)
	for _, c := range []struct {
		of    log.Class
		said  control.FailureClass
		cause restart.Cause
	}{
		{log.DiskFull, control.DiskFull, restart.DiskFull}, {log.ReadOnlyFilesystem, control.ReadOnlyFilesystem, restart.ReadOnlyFilesystem},
		{log.IO, control.IO, restart.IO}, {log.Misuse, control.Misuse, restart.Misuse}, {log.OtherFailure, control.OtherFailure, restart.Other},
	} {
		if string(c.of) != string(c.said) || string(c.said) != string(c.cause) {
			t.Errorf("%+v", c)
		}
	}
}

// Every verdict has a reason that is explained, and the worst one speaks.
func TestAilments(t *testing.T) {
	contract.Row(t, 134)
	whys := []restart.Why{"", "Unheard", restart.WhyUnknown, restart.WhyFull, restart.WhySuspended, restart.WhyOff, restart.WhyPlan, restart.WhySpent, restart.WhyEnding,
		restart.WhyUnlisted, restart.WhySettling, restart.WhyUnpublished, restart.WhyRefused, restart.WhyOther, restart.WhyRestart}
	for _, why := range whys {
		a := ailment{pod: "a", says: "x", verdict: restart.Verdict{Why: why}}
		if e, ok := v1alpha1.Explain(a.reason()); !ok || !slices.Contains(worstFirst, a.reason()) || a.person() && e.Next == "" {
			t.Errorf("%q: %s, %+v", why, a.reason(), e)
		}
	}
	sick := map[string]*control.Status{
		"a": {Process: "P", PoisonReason: "fsync: EIO"}, "b": {Process: "Q", PoisonReason: "write: ENOSPC", Disk: &control.Disk{Total: 1 << 30, Free: 1024}}, "c": {Process: "R", PoisonReason: "z"},
	}
	got := ailments(sick, mending{
		verdicts: []restart.Verdict{{Pod: "a", Process: "P", Why: restart.WhyRestart, Says: "it is restarted"}, {Pod: "b", Process: "Q", Why: restart.WhyFull, Says: "no room"}, {Pod: "c", Process: "older", Why: restart.WhyRestart}},
		volumes:  map[string]volume{"b": {claim: "data-b", is: "PersistentVolumeClaim data-b", stays: true}},
	}, "shop")
	want := []string{
		`pod b: write: ENOSPC: PersistentVolumeClaim data-b has 1073740800 of 1073741824 bytes used; no room: kubectl -n shop patch pvc data-b -p '{"spec":{"resources":{"requests":{"storage":"2048Mi"}}}}'`,
		"pod c: z: look at the pod's disk, then restart the pod", "pod a: fsync: EIO: it is restarted",
	}
	for i, a := range got {
		if a.String() != want[i] {
			t.Errorf("%s\nwant %s", a, want[i])
		}
	}
}

// A status lists fifty logs, by name, and its positions are no news.
func TestPositionsAreBoundedAndNoNews(t *testing.T) {
	contract.Row(t, 134)
	words := map[manifest.WriterID]*control.Status{}
	for i := range 60 {
		words[manifest.WriterID(fmt.Sprintf("a-%02d", i))] = &control.Status{Oldest: 1, Published: 2, Durable: 3, Next: 4, LogBytes: 5}
	}
	got := logs(words)
	if len(got) != v1alpha1.MaxWriterLogs || got[0] != (v1alpha1.WriterLog{Pod: "a-00", Oldest: 1, Published: 2, Durable: 3, Next: 4, SegmentBytes: 5}) || got[49].Pod != "a-49" {
		t.Errorf("%d: %+v", len(got), got)
	}
	a, b := &v1alpha1.WALStoreStatus{Writers: &v1alpha1.WritersStatus{Logs: got}}, &v1alpha1.WALStoreStatus{Writers: &v1alpha1.WritersStatus{Logs: got[:1]}}
	if !sameNumbers(a, b) || len(a.Writers.Logs) != 50 {
		t.Error("positions are news")
	}
}

// What was answered counts, whether the log of the pod is known to have it or not: a volume
// that goes with its pod goes when the root has all of it.
func TestWhatWasAnsweredIsPublishedFirst(t *testing.T) {
	contract.Row(t, 134)
	for _, c := range []struct {
		published, durable, written uint64
		want                        bool
	}{{4, 4, 0, false}, {3, 4, 0, true}, {4, 4, 6, true}, {5, 4, 6, true}, {6, 4, 6, false}} {
		st := &control.Status{State: control.Poisoned, Published: c.published, Durable: c.durable, Written: c.written}
		if p := sickPod(member{status: st}, nil, false, volume{}, refusal{}); p.Unpublished != c.want || !p.Volatile {
			t.Errorf("%+v: %+v", c, p)
		}
	}
}
