// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/detect"
	"github.com/salvor-io/salvor/test/contract"
)

func TestWhatAPodsStatusSays(t *testing.T) {
	state := func(s corev1.ContainerState, restarts int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "helper", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
				{Name: "store", State: s, RestartCount: restarts}}
		}
	}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	over := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137}}
	waits := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	ready := func(pod, containers corev1.ConditionStatus) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: pod}, {Type: corev1.ContainersReady, Status: containers}}
		}
	}
	for _, c := range []struct {
		name   string
		change []func(*corev1.Pod)
		state  detect.PodState
		inc    string
	}{
		{"just made", nil, detect.PodNotRunning, "u/0"},
		{"its container runs", []func(*corev1.Pod){state(runs, 0)}, detect.PodRunning, "u/0"},
		{"it runs again", []func(*corev1.Pod){state(runs, 3)}, detect.PodRunning, "u/3"},
		{"its container is over", []func(*corev1.Pod){state(over, 1)}, detect.PodTerminated, "u/1"},
		{"it is made for the first time", []func(*corev1.Pod){state(waits, 0)}, detect.PodNotRunning, "u/0"},
		{"it waits to be started again", []func(*corev1.Pod){state(waits, 2), func(p *corev1.Pod) { p.Status.ContainerStatuses[1].LastTerminationState = over }}, detect.PodTerminated, "u/2"},
		{"evicted", []func(*corev1.Pod){state(runs, 0), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }}, detect.PodFailed, "u/0"},
		{"not ready, says its kubelet", []func(*corev1.Pod){state(runs, 0), ready("False", "False")}, detect.PodRunning, "u/0"},
		{"not ready, over the kubelet's head", []func(*corev1.Pod){state(runs, 0), ready("False", "True")}, detect.PodNodeLost, "u/0"},
		{"not ready by a gate of its own", []func(*corev1.Pod){state(runs, 0), ready("False", "True"),
			func(p *corev1.Pod) { p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "x"}} }}, detect.PodRunning, "u/0"},
		{"not ready because it is being deleted", []func(*corev1.Pod){state(runs, 0), ready("False", "True"),
			func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }}, detect.PodRunning, "u/0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u"}, Spec: corev1.PodSpec{Containers: []corev1.Container{
				{Name: "helper", Ports: []corev1.ContainerPort{{ContainerPort: 80}}}, {Name: "store", Ports: []corev1.ContainerPort{{ContainerPort: 8411}}}}}}
			for _, f := range c.change {
				f(p)
			}
			slim, err := TrimPod(p)
			must(t, err)
			for _, pod := range []*corev1.Pod{p, slim.(*corev1.Pod)} {
				if got := podFacts(pod, 8411); got.State != c.state || got.Incarnation != c.inc {
					t.Errorf("got %+v, want %d %s", got, c.state, c.inc)
				}
			}
		})
	}
}

func TestEveryObjectGetsAName(t *testing.T) {
	seen := map[string]string{}
	for _, key := range []string{
		"recovery/01KA", "recovery/01ka", "recovery/01-KA", "recovery/..!", "recovery/!", "recovery/" + strings.Repeat("x", 500),
		"recovery/" + strings.Repeat("x", 499) + "y", "recovery/a/b", "recovery/a.b", "recovery/-a-",
	} {
		for _, root := range []string{"r1", "r2"} {
			name := sidecarName(strings.Repeat("s", 52), root, key)
			if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
				t.Errorf("%s: %s: %v", key, name, problems)
			}
			if other, taken := seen[name]; taken {
				t.Errorf("%s and %s are both called %s", key, other, name)
			}
			seen[name] = key
			if name != sidecarName(strings.Repeat("s", 52), root, key) {
				t.Errorf("%s is called something else the second time", key)
			}
		}
	}
	if got := sidecarName("ledger", "r", "recovery/01JX"); !strings.HasPrefix(got, "ledger-01jx-") || len(got) != len("ledger-01jx-")+8 {
		t.Errorf("got %s", got)
	}
}

func TestAmbientRootsAreExact(t *testing.T) {
	contract.Row(t, 163)
	for _, c := range []struct {
		root, uri string
		want      bool
	}{
		{"gs://b/a", "gs://b/a", true},
		{"gs://b/a", "s3://b/a", false},
		{"azblob://b/a", "azblob://b/a", true},
		// Which account is meant is for the operator's admin to say, not for a tenant.
		{"azblob://b/a", "azblob://b/a@mine", false},
		{"azblob://b/a?storage_account=mine", "azblob://b/a@mine", true},
		{"azblob://b/a?storage_account=mine", "azblob://b/a@yours", false},
		{"azblob://b/a?storage_account=mine", "azblob://b/a", false},
		{"azblob://b/?storage_account=mine", "azblob://b/a@mine", true},
		{"azblob://b/?storage_account=mine", "azblob://bb/a@mine", false},
		{"s3://b/a", "s3://b/a", true},
		{"s3://b/a", "s3://b/ab", false},
		{"s3://b/a", "s3://b/a/c", false},
		{"s3://b/a/", "s3://b/a/c", true},
		{"s3://b/a/", "s3://b/a", true},
		{"s3://b/a/", "s3://b/ab", false},
		{"s3://b/", "s3://bb/a", false},
	} {
		uri, account, _ := strings.Cut(c.uri, "@")
		if got := listed([]string{"s3://other/", c.root}, v1alpha1.Root{URI: uri, StorageAccount: account}); got != c.want {
			t.Errorf("%s in %s: %t", c.uri, c.root, got)
		}
	}
}

func TestBackoffGrowsIsBoundedAndSpread(t *testing.T) {
	o := Options{Backoff: time.Second, BackoffMost: 10 * time.Second}.withDefaults()
	seen := map[time.Duration]bool{}
	for n, most := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 4: 8, 5: 10, 50: 10} {
		most *= time.Second
		for range 50 {
			d := o.backoff(n)
			if d < most/2 || d > most {
				t.Fatalf("pause %d is %s, want between %s and %s", n, d, most/2, most)
			}
			seen[d] = true
		}
	}
	if len(seen) < 250 {
		t.Errorf("%d different pauses of 300: what failed together comes back together", len(seen))
	}
}

func TestConditionsKeepTheTimeOfTheirLastChange(t *testing.T) {
	types := []string{"A", "B", "C"}
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	first := dated(nil, []condition{isTrue("B", "R", "m")}, types, 1, at(1))
	if len(first) != 3 || first[0].Type != "A" || first[0].Status != "Unknown" || first[0].Reason != v1alpha1.ReasonNotObserved {
		t.Fatalf("%+v", first)
	}
	second := dated(first, []condition{isTrue("B", "Other", "m2"), isFalse("A", "R", "m")}, types, 2, at(2))
	b, _ := find(second, "B")
	a, _ := find(second, "A")
	c, _ := find(second, "C")
	if !b.LastTransitionTime.Equal(&metav1.Time{Time: at(1)}) || b.Reason != "Other" || b.ObservedGeneration != 2 {
		t.Errorf("B changed its reason only: %+v", b)
	}
	if !a.LastTransitionTime.Equal(&metav1.Time{Time: at(2)}) {
		t.Errorf("A changed its status: %+v", a)
	}
	if c.ObservedGeneration != 1 {
		t.Errorf("nothing was said of C: %+v", c)
	}
	if !sameWords(second, dated(second, []condition{isTrue("B", "Other", "m3"), isFalse("A", "R", "m")}, types, 2, at(3))) {
		t.Error("another message of the same reason is news")
	}
}
