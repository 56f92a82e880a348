// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// stoppedPods is how many pods take turns.
const stoppedPods = 6

// stopped is the goal about a writer that sleeps through its recovery: n times the
// process of a store under load is stopped by SIGSTOP in the middle of an operation, in
// turn at each of four places, until somebody else has decided the operation and the
// recovery is over; then it is woken, and has to go on under another epoch, as the
// same process. Nothing may be lost, and nothing decided or published twice. The pods
// take turns: a writer that is fenced by mistake again and again is fenced ever more rarely.
func (b *bench) stopped(ctx context.Context, n int) error {
	b.Say("goal 12: a writer sleeps through its recovery, %d times", n)
	o := harness.StoreOptions{Namespace: "bench-stopped", Name: "orders", Replicas: stoppedPods, Interval: "200ms", Image: harness.FailpointImage}
	if err := b.CreateStore(ctx, o, 3*time.Minute); err != nil {
		return err
	}
	defer b.remove(ctx, o.Namespace)
	root, closeRoot, err := b.Bucket(ctx, o.RootURI())
	if err != nil {
		return err
	}
	defer closeRoot()
	load, err := b.StartLoad(ctx, o, 10*stoppedPods)
	if err != nil {
		return err
	}
	v := harness.Victim{Namespace: o.Namespace, Store: o.Name, Container: "store", Bucket: root}
	points := []failpoint.Point{failpoint.WriterArmed, failpoint.WriterPartlyApplied, failpoint.WriterApplied, failpoint.WriterConfirmed}
	var decided []time.Duration
	ops, kinds := []manifest.OperationID{}, map[manifest.Kind]int{}
	for i := range n {
		at := points[(i+i/stoppedPods)%len(points)]
		v.Pod = fmt.Sprintf("%s-%d", o.Name, i%stoppedPods)
		op, out, took, err := b.sleepsThrough(ctx, v, at)
		if err != nil {
			return fmt.Errorf("round %d, at %s: %w", i+1, at, err)
		}
		ops, decided = append(ops, op), append(decided, took)
		kinds[out.Kind]++
		if out.By.Role != manifest.RoleRecovery {
			return fmt.Errorf("round %d, at %s: %s was decided by %s: nobody slept through anything", i+1, at, op, out.By.Role)
		}
		if (i+1)%10 == 0 {
			b.Say("%d times: decided p50 %s after the stop", i+1, quantile(decided, .5))
		}
	}
	acked, err := load.StopAndVerify(ctx)
	if err != nil {
		return fmt.Errorf("what was acknowledged: %w", err)
	}
	restarts := int32(0)
	for i := range stoppedPods {
		pod, err := b.Pod(ctx, v.Namespace, fmt.Sprintf("%s-%d", o.Name, i))
		if err != nil {
			return err
		}
		restarts += pod.Status.ContainerStatuses[0].RestartCount
	}
	outcomes, err := harness.Outcomes(ctx, root)
	if err != nil {
		return err
	}
	rows, err := harness.AuditOperations(ctx, root)
	if err != nil {
		return err
	}
	double := 0
	for op, by := range outcomes {
		if len(by) != 1 || rows[string(op)] > 1 {
			double++
		}
	}
	for _, op := range ops {
		if len(outcomes[op]) != 1 || rows[string(op)] != 1 {
			double++
		}
	}
	fmt.Printf(`
goal 12   SIGSTOP of a store's process in the middle of an operation, until its recovery is over, then SIGCONT: %d times, under load
  from the stop to the outcome                     %s
  outcomes by recovery: %d published, %d abandoned
  restarts of containers: %d (0: the same processes went on, under other epochs)
  acknowledged transactions: %d, lost 0 (each was read back)
  operations without exactly one outcome and one row: %d of %d   (land 0)

`, n, harness.Quantiles(decided), kinds[manifest.KindPublish], kinds[manifest.KindAbandon], restarts, acked, double, len(outcomes))
	return nil
}

// sleepsThrough stops the writer at a point and wakes it when the recovery is over.
func (b *bench) sleepsThrough(ctx context.Context, v harness.Victim, at failpoint.Point) (op manifest.OperationID, out manifest.Outcome, took time.Duration, err error) {
	if err := b.Park(ctx, v.Namespace, v.Pod, at); err != nil {
		return "", out, 0, err
	}
	if err := b.AwaitParked(ctx, v.Namespace, v.Pod, at, time.Minute); err != nil {
		return "", out, 0, err
	}
	if op, err = harness.PendingOf(ctx, v.Bucket, v.Pod); err != nil {
		return "", out, 0, err
	}
	began := time.Now()
	if _, err := b.machine.Signal(ctx, v.Namespace, v.Pod, v.Container, cluster.Stop); err != nil {
		return op, out, 0, err
	}
	out, decided, err := harness.AwaitOutcome(ctx, v.Bucket, op, time.Minute)
	if err == nil {
		_, err = over(ctx, v.Bucket, op)
	}
	if _, cerr := b.machine.Signal(ctx, v.Namespace, v.Pod, v.Container, cluster.Continue); err == nil {
		err = cerr
	}
	if err == nil {
		err = b.ReleasePoint(ctx, v.Namespace, v.Pod, at)
	}
	if err == nil {
		err = b.publishes(ctx, v.Bucket, v.Pod, out.Version)
	}
	return op, out, decided.Sub(began), err
}

// publishes waits until a writer has published behind a version.
func (b *bench) publishes(ctx context.Context, root objstore.Bucket, pod string, after manifest.Version) error {
	m, err := manifest.Open(ctx, root, manifest.Options{NewID: func() string { return "reader" }})
	if err != nil {
		return err
	}
	return b.Eventually(ctx, "a publication of "+pod, time.Minute, func(ctx context.Context) (string, error) {
		st, err := m.Latest(ctx)
		if err != nil {
			return "", err
		}
		for _, o := range st.Outcomes {
			if o.Version > after && o.By.Role == manifest.RoleWriter && string(o.By.Writer) == pod {
				return "", nil
			}
		}
		return fmt.Sprintf("the manifest is at %d", st.Version), nil
	})
}
