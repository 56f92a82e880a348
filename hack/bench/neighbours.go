// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

const (
	neighbourWindow  = 40 * time.Second // of one side
	neighbourRounds  = 5
	neighboursFrozen = "orders-0"
)

// neighbours is the goal about the other stores: n of them take writes by the clock,
// and one is frozen and let go once a second, or not, in windows that take turns.
func (b *bench) neighbours(ctx context.Context, n int) error {
	b.Say("goal 15: one of %d stores is frozen and let go, again and again", n)
	o := harness.StoreOptions{Namespace: "bench-neighbours", Name: neighboursFrozen, Replicas: 1, Interval: "5m"}
	defer b.remove(ctx, o.Namespace)
	var targets []string
	for i := range n {
		each := o
		each.Name = fmt.Sprintf("orders-%d", i)
		if err := b.ApplyStore(ctx, each); err != nil {
			return err
		}
		targets = append(targets, each.Targets()...)
	}
	for i := range n {
		if err := b.StoreReady(ctx, o.Namespace, fmt.Sprintf("orders-%d", i), 20*time.Minute); err != nil {
			return err
		}
	}
	const rate = 100 // a hundred pods are a load of their own
	load, err := b.StartOpenLoad(ctx, o, targets, rate)
	if err != nil {
		return err
	}
	var quiet, frozen []span
	cycles := 0
	for i := range neighbourRounds {
		for side := range 2 {
			s := span{from: time.Now()}
			s.to = s.from.Add(neighbourWindow)
			if (i+side)%2 == 0 { // ABBAABBA...: a drift of the machine is on both sides
				quiet = append(quiet, s)
				if err := objstore.Sleep(ctx, neighbourWindow); err != nil {
					return err
				}
				continue
			}
			frozen = append(frozen, s)
			for time.Now().Before(s.to) {
				next := time.Now().Add(time.Second)
				if err := b.freezeOnce(ctx, o, fmt.Sprintf("cycle-%d", cycles)); err != nil {
					return err
				}
				cycles++
				if err := objstore.Sleep(ctx, time.Until(next)); err != nil {
					return err
				}
			}
		}
		b.Say("%d of %d pairs of windows", i+1, neighbourRounds)
	}
	acked, traces, err := load.StopAndVerify(ctx)
	if err != nil {
		return err
	}
	p99 := func(spans []span) (each []time.Duration, median time.Duration) {
		for _, s := range spans {
			var took []time.Duration
			for _, t := range traces {
				if t.Target != 0 && !t.Due.Before(s.from) && t.Due.Before(s.to) {
					took = append(took, t.Took)
				}
			}
			each = append(each, exact(took, .99))
		}
		return each, slices.Sorted(slices.Values(each))[len(each)/2]
	}
	failed := 0
	for _, t := range traces {
		failed += len(t.Failed)
	}
	without, a := p99(quiet)
	with, f := p99(frozen)
	fmt.Printf(`
goal 15   %d stores, %d writes a second over all of them; one is frozen and let go %d times, in %d windows of %s of %d
  p99 of the others, windows without a freeze  %s
  p99 of the others, windows with freezes      %s
  median with / median without = %.3f   (land 1.05); the windows without one differ among each other by %.3f
  failed writes: %d of %d; acknowledged %d, each of them there

`, n, rate, cycles, len(frozen), neighbourWindow, len(frozen)+len(quiet), rounded(without), rounded(with), float64(f)/float64(a),
		float64(slices.Max(without))/float64(slices.Min(without)), failed, len(traces), acked)
	return nil
}

func rounded(ds []time.Duration) (out []time.Duration) {
	for _, d := range ds {
		out = append(out, d.Round(10*time.Microsecond))
	}
	return out
}

// freezeOnce freezes a store, and lets it go when it is held.
func (b *bench) freezeOnce(ctx context.Context, o harness.StoreOptions, name string) error {
	m := &v1alpha1.StoreMaintenance{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: name}}
	m.Spec = v1alpha1.StoreMaintenanceSpec{
		StoreRef: &v1alpha1.LocalReference{Name: o.Name}, Reason: "bench", Until: metav1.NewTime(time.Now().Add(20 * time.Minute).Truncate(time.Second)),
	}
	if err := b.Create(ctx, m); err != nil {
		return err
	}
	if err := b.Eventually(ctx, name+" is held", time.Minute, func(ctx context.Context) (string, error) {
		err := b.Get(ctx, client.ObjectKeyFromObject(m), m)
		if err != nil || meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionHeld) {
			return "", err
		}
		return harness.Conditions(m.Status.Conditions), nil
	}); err != nil {
		return err
	}
	if err := b.Delete(ctx, m); err != nil {
		return err
	}
	return b.Eventually(ctx, name+" is gone", time.Minute, func(ctx context.Context) (string, error) {
		switch err := b.Get(ctx, client.ObjectKeyFromObject(m), m); {
		case client.IgnoreNotFound(err) != nil:
			return "", err
		case err != nil:
			return "", nil
		}
		return harness.Conditions(m.Status.Conditions), nil
	})
}
