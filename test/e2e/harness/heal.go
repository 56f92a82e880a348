// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/e2e/cluster"
)

// Heal is what was seen of one kill: all times by this machine's clock.
type Heal struct {
	Operation manifest.OperationID
	Outcome   manifest.Outcome
	// Killed is when the signal was sent, Healed when the outcome was first read
	// back from the manifest, Ready when the pod was ready again.
	Killed, Healed, Ready time.Time
	// ExitCode of the killed container, from the pod's status.
	ExitCode int32
}

// ToHealed is the time from the kill until the outcome could be read.
func (h Heal) ToHealed() time.Duration { return h.Healed.Sub(h.Killed) }

// ToReady is the time from the kill until the pod was ready again.
func (h Heal) ToReady() time.Duration { return h.Ready.Sub(h.Killed) }

// Victim is the pod that a test kills.
type Victim struct {
	Namespace, Store, Pod, Container string
	// Bucket is the store's root, read from this machine.
	Bucket objstore.Bucket
}

// KillAt parks the victim's next operation at a failpoint, kills the process from
// the outside, and watches until the operation is decided and the pod is back.
func (h *Harness) KillAt(ctx context.Context, m cluster.Cluster, v Victim, point failpoint.Point) (Heal, error) {
	if err := h.Park(ctx, v.Namespace, v.Pod, point); err != nil {
		return Heal{}, err
	}
	if err := h.AwaitParked(ctx, v.Namespace, v.Pod, point, time.Minute); err != nil {
		return Heal{}, err
	}
	return h.KillParked(ctx, m, v)
}

// KillParked kills a victim whose operation is parked, and watches as KillAt does.
func (h *Harness) KillParked(ctx context.Context, m cluster.Cluster, v Victim) (Heal, error) {
	op, err := PendingOf(ctx, v.Bucket, v.Pod)
	if err != nil {
		return Heal{}, err
	}
	heal := Heal{Operation: op}
	killed, ready, err := h.Kill(ctx, m, v)
	if err != nil {
		return heal, err
	}
	heal.Killed = killed
	if heal.Outcome, heal.Healed, err = AwaitOutcome(ctx, v.Bucket, op, time.Minute); err != nil {
		return heal, err
	}
	back := <-ready
	heal.Ready, heal.ExitCode = back.At, back.ExitCode
	return heal, back.Err
}

// PendingOf returns the writer's operation that is pending now.
func PendingOf(ctx context.Context, b objstore.Bucket, writer string) (manifest.OperationID, error) {
	listed, err := recovery.List(ctx, b)
	if err != nil {
		return "", err
	}
	for _, l := range listed {
		s, err := recovery.Get(ctx, b, l.Key)
		if errors.Is(err, objstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", err
		}
		if string(s.Writer) == writer {
			return s.Operation, nil
		}
	}
	return "", fmt.Errorf("no pending operation of %s among %d", writer, len(listed))
}

// AwaitOutcome reads the manifest forward until it names op, and says when that was.
func AwaitOutcome(ctx context.Context, b objstore.Bucket, op manifest.OperationID, within time.Duration) (manifest.Outcome, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	m, err := manifest.Open(ctx, b, manifest.Options{NewID: func() string { return "reader" }})
	if err != nil {
		return manifest.Outcome{}, time.Time{}, err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := m.Latest(ctx)
		if err != nil {
			return manifest.Outcome{}, time.Time{}, fmt.Errorf("outcome of %s: not within %s: %w", op, within, err)
		}
		if o, ok := st.Outcome(op); ok {
			return o, time.Now(), nil
		}
		select {
		case <-ctx.Done():
			return manifest.Outcome{}, time.Time{}, fmt.Errorf("outcome of %s: not within %s: manifest %d names none", op, within, st.Version)
		case <-tick.C:
		}
	}
}

// Kill sends SIGKILL. It returns when that began, and a channel that tells when the
// pod is back.
func (h *Harness) Kill(ctx context.Context, m cluster.Cluster, v Victim) (killed time.Time, back <-chan Back, err error) {
	pod, err := h.Pod(ctx, v.Namespace, v.Pod)
	if err != nil {
		return killed, nil, err
	}
	restarts := restartsOf(pod, v.Container)
	ready := make(chan Back, 1)
	go func() { ready <- h.awaitRestart(ctx, v, restarts) }()
	killed = time.Now()
	_, err = m.Signal(ctx, v.Namespace, v.Pod, v.Container, cluster.Kill)
	return killed, ready, err
}

// Restart kills the victim, whatever it does, and waits until its pod is back.
func (h *Harness) Restart(ctx context.Context, m cluster.Cluster, v Victim) error {
	_, back, err := h.Kill(ctx, m, v)
	if err != nil {
		return err
	}
	return (<-back).Err
}

// Back is the end of a container's restart: when it was ready again.
type Back struct {
	At       time.Time
	ExitCode int32 // of the process that was killed
	Err      error
}

// awaitRestart watches the pod until its container has restarted and is ready.
func (h *Harness) awaitRestart(ctx context.Context, v Victim, before int32) Back {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	w, err := h.Watch(ctx, &corev1.PodList{}, client.InNamespace(v.Namespace), client.MatchingFields{"metadata.name": v.Pod})
	if err != nil {
		return Back{Err: err}
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		for _, c := range pod.Status.ContainerStatuses {
			if c.Name == v.Container && c.RestartCount > before && c.Ready && c.LastTerminationState.Terminated != nil {
				return Back{At: time.Now(), ExitCode: c.LastTerminationState.Terminated.ExitCode}
			}
		}
	}
	return Back{Err: fmt.Errorf("pod %s did not come back within 2m", v.Pod)}
}

func restartsOf(p *corev1.Pod, container string) int32 {
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == container {
			return c.RestartCount
		}
	}
	return 0
}
