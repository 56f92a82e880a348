// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/load"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// span is a time in which something was done, by this machine's clock.
type span struct{ from, to time.Time }

// undo is the goal about a freeze for a roll-back: n times a writer without a pod
// leaves an operation that readers can see half of, and the operator locks the store,
// undoes it and lets go, while writes come by the clock to the store's pods. The longest
// wait of a write that was under way while the lock was held is for how long the store was
// closed, up to the distance between two writes.
func (b *bench) undo(ctx context.Context, n int) error {
	b.Say("goal 14: %d freezes for a roll-back, under writes that come by the clock", n)
	const elected = "- --leader-elect\n"
	install := func(ctx context.Context, edits ...string) error {
		return b.on(ctx, 0, func() error { return b.InstallOperator(ctx, edits...) })
	}
	if err := install(ctx, elected, elected+"        - --sweep-interval=1s\n        - --idle-sweep-interval=1s\n"); err != nil {
		return err
	}
	defer func() { // the other parts measure it as it comes
		if err := install(context.WithoutCancel(ctx)); err != nil {
			b.Say("%v", err)
		}
	}()
	o := harness.StoreOptions{Namespace: "bench-undo", Name: "orders", Replicas: 2, Interval: "500ms"}
	if err := b.on(ctx, 1, func() error { return b.CreateStore(ctx, o, 3*time.Minute) }); err != nil {
		return err
	}
	defer b.remove(ctx, o.Namespace)
	ws := &v1alpha1.WALStore{}
	ws.Namespace, ws.Name = o.Namespace, o.Name
	if err := b.Patch(ctx, ws, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"recovery":{"rollBack":"Automatic","orphanAfter":"1s"}}}`))); err != nil {
		return err
	}
	root, closeRoot, err := b.Bucket(ctx, o.RootURI())
	if err != nil {
		return err
	}
	defer closeRoot()
	if _, err := harness.ForeignCommit(ctx, root, "old", nil); err != nil {
		return err
	}
	const rate = 200
	load, err := b.StartOpenLoad(ctx, o, nil, rate)
	if err != nil {
		return err
	}
	var spans []span
	var puts []time.Duration
	for i := range n {
		if i%(max(1, n/5)) == 0 { // in five windows over the run
			lw, err := b.puts(ctx, o, 40)
			if err != nil {
				return err
			}
			puts = append(puts, lw...)
		}
		s, err := b.undone(ctx, root)
		if err != nil {
			return fmt.Errorf("roll-back %d: %w", i+1, err)
		}
		spans = append(spans, s)
		if (i+1)%50 == 0 {
			b.Say("%d roll-backs", i+1)
		}
	}
	acked, traces, err := load.StopAndVerify(ctx)
	if err != nil {
		return fmt.Errorf("what was acknowledged: %w", err)
	}
	closed, open, failed := waits(traces, spans)
	var before []span // as long, and without a lock
	for _, s := range spans {
		before = append(before, span{s.from.Add(-beforeLock), s.to.Add(-beforeLock)})
	}
	machine, _, _ := waits(traces, before)
	lw := exact(puts, .5)
	fmt.Printf(`
goal 14   freeze, roll-back, thaw: %d times, under %d writes a second that come by the clock
  the store takes no write       %s
  as long before, with no lock   %s
  a write at any other time      %s
  p50 of the first / serial PUT p50 of %s = %.1f   (land 10), its p99 %s (land 100ms)
  failed writes: %d of %d   (land 0); acknowledged %d, each of them there

`, n, rate, harness.Quantiles(closed), harness.Quantiles(machine), harness.Quantiles(open), lw, float64(exact(closed, .5))/float64(lw), quantile(closed, .99), failed, len(traces), acked)
	return nil
}

// undone leaves one operation half done, and waits until it is undone, with its lock
// released and its sidecar gone.
func (b *bench) undone(ctx context.Context, root objstore.Bucket) (s span, err error) {
	op, err := harness.ForeignCommit(ctx, root, "new", harness.HalfDone)
	if err == nil {
		return s, fmt.Errorf("%s did not die", op)
	}
	out, _, err := harness.AwaitOutcome(ctx, root, op, time.Minute)
	if err != nil {
		return s, err
	}
	if out.Kind != manifest.KindRollBack {
		return s, fmt.Errorf("%s came to %s", op, out.Kind)
	}
	if s.to, err = over(ctx, root, op); err != nil { // the lock was released before
		return s, err
	}
	m, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return "reader" }})
	if err != nil {
		return s, err
	}
	if l := m.View().Lock; l != nil {
		return s, fmt.Errorf("%s is over, and %s holds a lock", op, l.Owner)
	}
	s.from, err = locked(ctx, m, out)
	return s, err
}

// beforeLock is how long before a lock there was none for certain: what is half done is
// found after a second.
const beforeLock = 600 * time.Millisecond

// locked is when the lock was asked for under which an operation was undone. It stands a
// few publications before the decision, as the pods' checkpoints have left room.
func locked(ctx context.Context, m *manifest.Store, undone manifest.Outcome) (time.Time, error) {
	for v := undone.Version; v > 0 && v+100 > undone.Version; v-- {
		b, err := m.Batch(ctx, v)
		if err != nil {
			return time.Time{}, err
		}
		for _, e := range b.Entries {
			if e.Kind == manifest.KindLock && e.Operation == undone.Operation {
				return e.Lock.Since, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("no lock was taken before the roll-back of %s", undone.Operation)
}

// waits are the longest wait of a write that was under way in each of the spans, the waits
// of those that were in none, and how many tries failed.
func waits(traces []load.Trace, spans []span) (longest, others []time.Duration, failed int) {
	longest = make([]time.Duration, len(spans))
	for _, t := range traces {
		failed += len(t.Failed)
		// The first span that does not end before the write was due.
		i, _ := slices.BinarySearchFunc(spans, t.Due, func(s span, due time.Time) int { return s.to.Compare(due) })
		alone := true
		for ; i < len(spans) && !t.Answered().Before(spans[i].from); i++ {
			longest[i], alone = max(longest[i], t.Took), false
		}
		if alone {
			others = append(others, t.Took)
		}
	}
	return longest, others, failed
}

// puts are n serial PUTs of 1 KiB into the root, by the path that the pods take.
func (b *bench) puts(ctx context.Context, o harness.StoreOptions, n int) ([]time.Duration, error) {
	root, closeRoot, err := b.DirectBucket(ctx, o.RootURI())
	if err != nil {
		return nil, err
	}
	defer closeRoot()
	var out []time.Duration
	body := make([]byte, 1024)
	for i := range n {
		began := time.Now()
		key := fmt.Sprintf("probe/bench/%d-%d", began.UnixNano(), i)
		if _, err := root.PutIfAbsent(ctx, key, body, "bench"); err != nil {
			return nil, err
		}
		out = append(out, time.Since(began))
		if err := root.Delete(ctx, key); err != nil {
			return nil, err
		}
	}
	return out, nil
}
