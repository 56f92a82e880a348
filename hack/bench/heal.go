// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// heal kills a writer's container n times, in turn at each place where recovery
// has something to decide, and sets the time to the healed manifest against the
// pod's own first restart: after each kill the pod is made anew, since kubelet
// would make the next restart of the same one wait.
func (b *bench) heal(ctx context.Context, n int) error {
	o := harness.StoreOptions{Namespace: "bench-heal", Name: "orders", Replicas: 3, Interval: "500ms", Image: harness.FailpointImage}
	b.Say("goal 10: %d kills of a writer under load", n)
	if err := b.CreateStore(ctx, o, 3*time.Minute); err != nil {
		return err
	}
	defer b.remove(ctx, o.Namespace)
	root, closeRoot, err := b.Bucket(ctx, o.RootURI())
	if err != nil {
		return err
	}
	defer closeRoot()
	load, err := b.StartLoad(ctx, o, 30)
	if err != nil {
		return err
	}
	points := []failpoint.Point{failpoint.WriterArmed, failpoint.WriterPartlyApplied, failpoint.WriterApplied, failpoint.WriterConfirmed}
	var healed, ready []time.Duration
	for i := range n {
		v := harness.Victim{Namespace: o.Namespace, Store: o.Name, Pod: fmt.Sprintf("%s-%d", o.Name, i%o.Replicas), Container: "store", Bucket: root}
		k, err := b.KillAt(ctx, b.machine, v, points[i%len(points)])
		if err != nil {
			return fmt.Errorf("kill %d of %s: %w", i+1, v.Pod, err)
		}
		healed, ready = append(healed, k.ToHealed()), append(ready, k.ToReady())
		if err := b.renew(ctx, o, v.Pod); err != nil {
			return err
		}
		if (i+1)%10 == 0 {
			b.Say("%d kills: healed p50 %s, pod ready again p50 %s", i+1, quantile(healed, .5), quantile(ready, .5))
		}
	}
	acked, err := load.StopAndVerify(ctx)
	if err != nil {
		return err
	}
	k50 := quantile(ready, .5)
	fmt.Printf(`
goal 10   SIGKILL to healed manifest read back, %d kills; K is the pod's own restart in the same kills
  healed  %s
  K       %s
  p99 of healed / p50 of K = %.2f   (land 1.0, stretch 0.25)
  %d acknowledged transactions, every one there

`, n, harness.Quantiles(healed), harness.Quantiles(ready), float64(quantile(healed, .99))/float64(k50), acked)
	return nil
}

// renew replaces a pod by a new one, and waits until it is ready.
func (b *bench) renew(ctx context.Context, o harness.StoreOptions, name string) error {
	old, err := b.Pod(ctx, o.Namespace, name)
	if err != nil {
		return err
	}
	if err := b.Delete(ctx, old); client.IgnoreNotFound(err) != nil {
		return err
	}
	return b.Eventually(ctx, name+" made anew", 2*time.Minute, func(ctx context.Context) (string, error) {
		p, err := b.Pod(ctx, o.Namespace, name)
		if err != nil {
			return "", err
		}
		for _, c := range p.Status.ContainerStatuses {
			if p.UID != old.UID && c.Ready {
				return "", nil
			}
		}
		return "phase " + string(p.Status.Phase), nil
	})
}

func (b *bench) remove(ctx context.Context, namespace string) {
	if err := b.DeleteNamespace(context.WithoutCancel(ctx), namespace, 3*time.Minute); err != nil {
		b.Say("%v", err)
	}
}

func quantile(d []time.Duration, q float64) time.Duration { return exact(d, q).Round(time.Millisecond) }

func exact(d []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}
