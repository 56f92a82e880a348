// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

// mid is the goal about an operator that is killed in the middle of a recovery: n
// times the acting one, in turn before it has written anything, between its outcome
// and its audit row, and between that and the deletion. In between, as often, a
// recovery that nobody disturbs: what the kill adds is to be at most the operator's
// restart and one of these. Both pods are new each time: kubelet makes the second
// restart of a container wait.
func (b *bench) mid(ctx context.Context, n int) error {
	b.Say("goal 13: %d kills of the operator in the middle of a recovery", n)
	if err := b.InstallOperator(ctx, "image: "+harness.Image, "image: "+harness.FailpointImage); err != nil {
		return err
	}
	defer func() { // the other parts measure the ordinary build
		if err := b.InstallOperator(context.WithoutCancel(ctx)); err != nil {
			b.Say("%v", err)
		}
	}()
	o := harness.StoreOptions{Namespace: "bench-operator", Name: "orders", Replicas: 1, Interval: "200ms", Image: harness.FailpointImage}
	if err := b.CreateStore(ctx, o, 3*time.Minute); err != nil {
		return err
	}
	defer b.remove(ctx, o.Namespace)
	root, closeRoot, err := b.Bucket(ctx, o.RootURI())
	if err != nil {
		return err
	}
	defer closeRoot()
	v := harness.Victim{Namespace: o.Namespace, Store: o.Name, Pod: o.Name + "-0", Container: "store", Bucket: root}
	points := []failpoint.Point{failpoint.RecoveryObserved, failpoint.RecoveryPublished, failpoint.RecoveryAudited}
	var normal, extra, spoke, ready []time.Duration
	var ops []manifest.OperationID
	for i := range n {
		op, took, err := b.undisturbed(ctx, o, v, i)
		if err != nil {
			return fmt.Errorf("undisturbed recovery %d: %w", i+1, err)
		}
		normal, ops = append(normal, took), append(ops, op)
		op, t, err := b.disturbed(ctx, o, v, i, points[i%len(points)])
		if err != nil {
			return fmt.Errorf("kill %d of the operator at %s: %w", i+1, points[i%len(points)], err)
		}
		extra, spoke, ready, ops = append(extra, t.healed), append(spoke, t.spoke), append(ready, t.ready), append(ops, op)
		if (i+1)%10 == 0 {
			b.Say("%d kills: healed p50 %s later, the operator was ready after %s", i+1, quantile(extra, .5), quantile(ready, .5))
		}
	}
	rows, err := harness.AuditOperations(ctx, root)
	if err != nil {
		return err
	}
	outcomes, err := harness.Outcomes(ctx, root)
	if err != nil {
		return err
	}
	repeated := 0
	for _, op := range ops {
		if rows[string(op)] != 1 || len(outcomes[op]) != 1 {
			repeated++
		}
	}
	allowed := quantile(ready, .5) + quantile(normal, .5)
	fmt.Printf(`
goal 13   SIGKILL of the acting operator in the middle of a recovery, %d kills; undisturbed recoveries between them
  from the kill to the end of the recovery  %s
  the operator's restart, to its first word %s
  the same, until its container is ready    %s
  an undisturbed recovery, kill to end      %s
  p50 of the first / (p50 of ready + p50 of undisturbed) = %.2f   (land 1)
  operations without exactly one outcome and one audit row: %d of %d   (land 0)

`, n, harness.Quantiles(extra), harness.Quantiles(spoke), harness.Quantiles(ready), harness.Quantiles(normal),
		float64(quantile(extra, .5))/float64(allowed), repeated, len(ops))
	return nil
}

// parked brings the writer to where its operation is confirmed and not published.
func (b *bench) parked(ctx context.Context, v harness.Victim, round int) (manifest.OperationID, error) {
	if err := b.Park(ctx, v.Namespace, v.Pod, failpoint.WriterConfirmed); err != nil {
		return "", err
	}
	if err := b.Transact(ctx, v.Namespace, v.Pod, "a", round); err != nil {
		return "", err
	}
	if err := b.AwaitParked(ctx, v.Namespace, v.Pod, failpoint.WriterConfirmed, time.Minute); err != nil {
		return "", err
	}
	return harness.PendingOf(ctx, v.Bucket, v.Pod)
}

// undisturbed is one recovery, from the writer's SIGKILL to the deletion of the sidecar.
func (b *bench) undisturbed(ctx context.Context, o harness.StoreOptions, v harness.Victim, round int) (manifest.OperationID, time.Duration, error) {
	op, err := b.parked(ctx, v, round)
	if err != nil {
		return op, 0, err
	}
	killed := time.Now()
	if _, err := b.machine.Signal(ctx, v.Namespace, v.Pod, v.Container, cluster.Kill); err != nil {
		return op, 0, err
	}
	ended, err := over(ctx, v.Bucket, op)
	if err != nil {
		return op, 0, err
	}
	return op, ended.Sub(killed), b.renew(ctx, o, v.Pod)
}

// times since an operator was killed.
type times struct {
	healed time.Duration // the recovery's end
	spoke  time.Duration // the first word of the process that came after it
	ready  time.Duration // its container ready, by its pod's status: K of the goals
}

// disturbed is one whose operator is killed at a point.
func (b *bench) disturbed(ctx context.Context, o harness.StoreOptions, v harness.Victim, round int, at failpoint.Point) (op manifest.OperationID, t times, err error) {
	if op, err = b.parked(ctx, v, round); err != nil {
		return op, t, err
	}
	leader, err := b.Leader(ctx)
	if err != nil {
		return op, t, err
	}
	if err := b.ParkOperator(ctx, leader, at); err != nil {
		return op, t, err
	}
	if _, err := b.machine.Signal(ctx, v.Namespace, v.Pod, v.Container, cluster.Kill); err != nil {
		return op, t, err
	}
	if err := b.AwaitOperatorParked(ctx, leader, at, time.Minute); err != nil {
		return op, t, err
	}
	killed, ready, err := b.Kill(ctx, b.machine, harness.Victim{Namespace: harness.OperatorNamespace, Pod: leader, Container: "operator"})
	if err != nil {
		return op, t, err
	}
	ended, err := over(ctx, v.Bucket, op)
	if err != nil {
		return op, t, err
	}
	began, err := b.firstWord(ctx, leader)
	if err != nil {
		return op, t, err
	}
	back := <-ready
	if back.Err != nil {
		return op, t, back.Err
	}
	t = times{ended.Sub(killed), began.Sub(killed), back.At.Sub(killed)}
	if err := b.succeed(ctx, leader); err != nil {
		return op, t, err
	}
	return op, t, b.renew(ctx, o, v.Pod)
}

// succeed replaces an operator's pod, and waits until two are ready and another acts.
func (b *bench) succeed(ctx context.Context, leader string) error {
	old, err := b.Pod(ctx, harness.OperatorNamespace, leader)
	if err != nil {
		return err
	}
	if err := b.Delete(ctx, old); err != nil {
		return err
	}
	return b.Eventually(ctx, "another operator to act", 2*time.Minute, func(ctx context.Context) (string, error) {
		names, err := b.OperatorPods(ctx, 2, time.Minute)
		if err != nil {
			return "", err
		}
		for _, name := range names {
			p, err := b.Pod(ctx, harness.OperatorNamespace, name)
			if err != nil {
				return "", err
			}
			if name == leader || len(p.Status.ContainerStatuses) == 0 || !p.Status.ContainerStatuses[0].Ready {
				return name + " is not ready, or the old one", nil
			}
		}
		if now, err := b.Leader(ctx); err != nil || now == leader {
			return "the Lease is held by " + now, err
		}
		return "", nil
	})
}

// over waits until an operation's sidecar, which goes last, is gone.
func over(ctx context.Context, root objstore.Bucket, op manifest.OperationID) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := root.Get(ctx, recovery.SidecarKey(op))
		if errors.Is(err, objstore.ErrNotFound) {
			return time.Now(), nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("sidecar of %s: still there after two minutes (%v)", op, err)
		case <-tick.C:
		}
	}
}

// firstWord is when the process that runs in an operator's pod said its first word,
// by its own log.
func (b *bench) firstWord(ctx context.Context, pod string) (time.Time, error) {
	raw, err := b.Kube.CoreV1().Pods(harness.OperatorNamespace).GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil {
		return time.Time{}, err
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	var said struct{ Time time.Time }
	if err := json.Unmarshal(line, &said); err != nil {
		return time.Time{}, fmt.Errorf("the first line of %s's log is %q: %w", pod, line, err)
	}
	return said.Time, nil
}
