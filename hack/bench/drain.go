// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/store/load"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// drainPods is how many pods the drained store has.
const drainPods = 20

// evicted is one pod that was evicted: from the moment at which the API server let it go
// to the one at which its object was gone.
type evicted struct {
	target   int
	at, gone time.Time
}

// drain is the goal about a drain: every pod of a store of twenty is evicted, rounds
// times, as the budget of the store allows it, under writes that come by the clock. What
// it may take is what the slowest write takes that it had in hand, and what kubelet takes
// to stop a pod that does nothing.
func (b *bench) drain(ctx context.Context, rounds int) error {
	b.Say("goal 16: %d pods are evicted, %d times", drainPods, rounds)
	o := harness.StoreOptions{Namespace: "bench-drain", Name: "orders", Replicas: drainPods, Interval: "2s"}
	if err := b.CreateStore(ctx, o, 10*time.Minute); err != nil {
		return err
	}
	defer b.remove(ctx, o.Namespace)
	const rate = 220
	load, err := b.StartOpenLoad(ctx, o, nil, rate)
	if err != nil {
		return err
	}
	began := time.Now()
	var full []evicted
	var empty []time.Duration
	for round := range rounds {
		for i := range drainPods {
			e, err := b.evict(ctx, o, i)
			if err != nil {
				return fmt.Errorf("round %d, pod %d: %w", round+1, i, err)
			}
			full = append(full, e)
			if i%4 == 0 { // in turn with those that it is measured against
				took, err := b.emptyPod(ctx, o.Namespace)
				if err != nil {
					return err
				}
				empty = append(empty, took)
			}
		}
		if err := b.StoreReady(ctx, o.Namespace, o.Name, 3*time.Minute); err != nil {
			return err
		}
		b.Say("%d of %d rounds", round+1, rounds)
	}
	took := time.Since(began)
	acked, traces, err := load.StopAndVerify(ctx)
	if err != nil {
		return fmt.Errorf("what was acknowledged: %w", err)
	}
	var stops, slowest []time.Duration
	for _, e := range full {
		stops, slowest = append(stops, e.gone.Sub(e.at)), append(slowest, e.inHand(traces))
	}
	fmt.Printf(`
goal 16   %d pods evicted, %d times, as the budget allows it, in %s, under %d writes a second that come by the clock
  from the eviction until the pod is gone   %s
  the slowest write that it had in hand     %s
  a pod that does nothing, deleted          %s
  p50 of the first / (p50 of the second + p50 of the third) = %.2f   (land 1.1)
  acknowledged transactions: %d, lost 0 (each was read back)   (land 100000)

`, drainPods, rounds, took.Round(time.Second), rate, harness.Quantiles(stops), harness.Quantiles(slowest), harness.Quantiles(empty),
		float64(exact(stops, .5))/float64(exact(slowest, .5)+exact(empty, .5)), acked)
	return nil
}

// inHand is how long the slowest of the writes took, from the eviction on, that the pod
// had in hand then.
func (e evicted) inHand(traces []load.Trace) (longest time.Duration) {
	for _, t := range traces {
		if t.Target == e.target && len(t.Failed) == 0 && t.Due.Before(e.at) && t.Answered().After(e.at) {
			longest = max(longest, t.Answered().Sub(e.at))
		}
	}
	return longest
}

// evict asks until the budget allows it, and waits until the pod is gone.
func (b *bench) evict(ctx context.Context, o harness.StoreOptions, i int) (e evicted, err error) {
	e.target = i
	pod, err := b.Pod(ctx, o.Namespace, fmt.Sprintf("%s-%d", o.Name, i))
	if err != nil {
		return e, err
	}
	w, err := b.Watch(ctx, &corev1.PodList{}, client.InNamespace(pod.Namespace), client.MatchingFields{"metadata.name": pod.Name})
	if err != nil {
		return e, err
	}
	defer w.Stop()
	if err := b.Eventually(ctx, "the eviction of "+pod.Name, 3*time.Minute, func(ctx context.Context) (string, error) {
		e.at = time.Now()
		err := b.Kube.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}})
		if apierrors.IsTooManyRequests(err) {
			return err.Error(), nil
		}
		return "", err
	}); err != nil {
		return e, err
	}
	return e, gone(ctx, w.ResultChan(), pod, &e.gone)
}

// idlePod does nothing, and ends when it is told to.
func idlePod(namespace string) *corev1.Pod {
	no, yes, user := false, true, int64(65532)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "idle-"},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &user, RunAsGroup: &user, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "idle", Image: "salvor.local/busybox:1", ImagePullPolicy: corev1.PullNever,
				Command:         []string{"sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
}

// emptyPod is how long it takes to delete a pod that does nothing.
func (b *bench) emptyPod(ctx context.Context, namespace string) (time.Duration, error) {
	pod := idlePod(namespace)
	if err := b.Create(ctx, pod); err != nil {
		return 0, err
	}
	if err := b.Eventually(ctx, pod.Name+" runs", time.Minute, func(ctx context.Context) (string, error) {
		p, err := b.Pod(ctx, namespace, pod.Name)
		if err != nil || p.Status.Phase == corev1.PodRunning {
			return "", err
		}
		return string(p.Status.Phase), nil
	}); err != nil {
		return 0, err
	}
	w, err := b.Watch(ctx, &corev1.PodList{}, client.InNamespace(namespace), client.MatchingFields{"metadata.name": pod.Name})
	if err != nil {
		return 0, err
	}
	defer w.Stop()
	began := time.Now()
	if err := b.Delete(ctx, pod); err != nil {
		return 0, err
	}
	var end time.Time
	err = gone(ctx, w.ResultChan(), pod, &end)
	return end.Sub(began), err
}

// gone waits until a pod's object is deleted, and says when that was.
func gone(ctx context.Context, events <-chan watch.Event, pod *corev1.Pod, at *time.Time) error {
	late := time.After(2 * time.Minute)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return fmt.Errorf("the watch of pod %s has ended", pod.Name)
			}
			if p, is := e.Object.(*corev1.Pod); is && e.Type == watch.Deleted && p.UID == pod.UID {
				*at = time.Now()
				return nil
			}
		case <-late:
			return fmt.Errorf("pod %s is still there after two minutes", pod.Name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
