// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	neighbourBlock   = 5 * time.Second         // with freezes in it, or without
	neighbourPairs   = 60                      // of a block of each kind
	neighbourEvery   = 2500 * time.Millisecond // one freeze, as often as goal 14 makes them
	neighbourWarm    = time.Minute             // not counted: the pods were just made
	neighbourRate    = 100                     // writes a second: a hundred pods are a load of their own
	neighboursFrozen = "orders-0"
)

// neighbours is the goal about the other stores: n of them take writes by the clock,
// and one is frozen and let go every 2.5 s, or not, in short blocks that take turns, so
// that what else the machine does falls on both kinds alike. On a cluster of two nodes the
// stores have the second one to themselves.
func (b *bench) neighbours(ctx context.Context, n int) error {
	b.Say("goal 15: one of %d stores is frozen and let go, again and again", n)
	o := harness.StoreOptions{Namespace: "bench-neighbours", Name: neighboursFrozen, Replicas: 1, Interval: "5m"}
	defer b.remove(ctx, o.Namespace)
	var targets []string
	if err := b.on(ctx, 1, func() error {
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
		return nil
	}); err != nil {
		return err
	}
	load, err := b.StartOpenLoad(ctx, o, targets, neighbourRate)
	if err != nil {
		return err
	}
	if err := objstore.Sleep(ctx, neighbourWarm); err != nil {
		return err
	}
	pairs, cycles, err := b.freezeInTurns(ctx, o)
	if err != nil {
		return err
	}
	acked, traces, err := load.StopAndVerify(ctx)
	if err != nil {
		return err
	}
	failed := 0
	took := make([][2][]time.Duration, len(pairs)) // of a pair's blocks: without freezes, with them
	for _, t := range traces {
		failed += len(t.Failed)
		for i, p := range pairs {
			switch {
			case t.Target == 0: // the store that is frozen
			case p.quiet.has(t.Due):
				took[i][0] = append(took[i][0], t.Took)
			case p.frozen.has(t.Due):
				took[i][1] = append(took[i][1], t.Took)
			}
		}
	}
	quiet, frozen := pooled(took, func(int) bool { return false })
	chance := byLot(took)
	fmt.Printf(`
goal 15   %d stores, %d writes a second over all of them; one is frozen and let go %d times, in %d of %d blocks of %s
  the others' writes    n       p50         p90         p99
  blocks without        %-7d %-11s %-11s %s
  blocks with freezes   %-7d %-11s %-11s %s
  p99 with / p99 without = %.3f   (land 1.05); with the kinds dealt by lot within each pair, 1,000 times: %.3f to %.3f in 90 of 100
  failed writes: %d of %d; acknowledged %d, each of them there

`, n, neighbourRate, cycles, len(pairs), 2*len(pairs), neighbourBlock,
		len(quiet), rounded(quiet, .5), rounded(quiet, .9), rounded(quiet, .99),
		len(frozen), rounded(frozen, .5), rounded(frozen, .9), rounded(frozen, .99),
		float64(exact(frozen, .99))/float64(exact(quiet, .99)), chance[len(chance)/20], chance[len(chance)-1-len(chance)/20], failed, len(traces), acked)
	return nil
}

// A pair is a block without freezes and a block with them, one after the other.
type pair struct{ quiet, frozen span }

func (s span) has(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

// freezeInTurns makes the blocks: ABBAABBA..., so that a drift is on both sides.
func (b *bench) freezeInTurns(ctx context.Context, o harness.StoreOptions) (pairs []pair, cycles int, err error) {
	for i := range neighbourPairs {
		var p pair
		for side := range 2 {
			s := span{from: time.Now()}
			if (i+side)%2 == 0 {
				if err := objstore.Sleep(ctx, neighbourBlock); err != nil {
					return nil, 0, err
				}
				s.to = time.Now()
				p.quiet = s
				continue
			}
			for time.Since(s.from) < neighbourBlock {
				next := time.Now().Add(neighbourEvery)
				if err := b.freezeOnce(ctx, o, fmt.Sprintf("cycle-%d", cycles)); err != nil {
					return nil, 0, err
				}
				cycles++
				if err := objstore.Sleep(ctx, time.Until(next)); err != nil {
					return nil, 0, err
				}
			}
			s.to = time.Now() // with the last freeze whole
			p.frozen = s
		}
		pairs = append(pairs, p)
		if i%10 == 9 {
			b.Say("%d of %d pairs of blocks", i+1, neighbourPairs)
		}
	}
	return pairs, cycles, nil
}

// pooled has how long each write took, by the kind of its block. A pair that is
// exchanged counts with its two blocks taken for each other.
func pooled(took [][2][]time.Duration, exchanged func(pair int) bool) (quiet, frozen []time.Duration) {
	for i, each := range took {
		if exchanged(i) {
			each[0], each[1] = each[1], each[0]
		}
		quiet, frozen = append(quiet, each[0]...), append(frozen, each[1]...)
	}
	return quiet, frozen
}

// byLot is the ratio of the two 99th percentiles when a lot says, within each pair, which
// block is taken for the one with freezes: what the machine alone makes of it.
func byLot(took [][2][]time.Duration) (ratios []float64) {
	lot := rand.New(rand.NewPCG(15, 0)) // the same lots in every run
	for range 1000 {
		quiet, frozen := pooled(took, func(int) bool { return lot.IntN(2) == 1 })
		ratios = append(ratios, float64(exact(frozen, .99))/float64(exact(quiet, .99)))
	}
	return slices.Sorted(slices.Values(ratios))
}

func rounded(took []time.Duration, q float64) string {
	return exact(took, q).Round(10 * time.Microsecond).String()
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
