// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Load is a pod that puts transactions on a store and writes every acknowledged
// one to a volume of its own before it sends the next.
type Load struct {
	h       *Harness
	store   StoreOptions
	targets []string
	pod     *corev1.Pod
}

// Targets are the URLs of the API of each of the store's pods, inside the cluster.
func (o StoreOptions) Targets() []string {
	var out []string
	for i := range o.Replicas {
		out = append(out, fmt.Sprintf("http://%s-%d.%s.%s.svc:%d", o.Name, i, o.Name, o.Namespace, APIPort))
	}
	return out
}

func (l *Load) claim() *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.store.Namespace, Name: l.store.Name + "-acks"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("256Mi")}},
		},
	}
}

// withAcks mounts the load's volume under /work.
func (l *Load) withAcks(p *corev1.Pod) *corev1.Pod {
	for i := range p.Spec.Volumes {
		if p.Spec.Volumes[i].Name == "work" {
			p.Spec.Volumes[i].VolumeSource = corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: l.claim().Name},
			}
		}
	}
	return p
}

const acksFile = "/work/acks.ndjson"

// StartLoad starts rate transactions a second over all pods of the store, and
// waits until the first one was acknowledged.
func (h *Harness) StartLoad(ctx context.Context, o StoreOptions, rate int) (*Load, error) {
	return h.startLoad(ctx, o, o.Targets(), rate, "--timeout", "2s")
}

func (h *Harness) startLoad(ctx context.Context, o StoreOptions, targets []string, rate int, how ...string) (*Load, error) {
	l := &Load{h: h, store: o, targets: targets}
	if err := h.Create(ctx, l.claim()); err != nil {
		return nil, err
	}
	args := append([]string{"store", "load", "--transactions", "0", "--rate", strconv.Itoa(rate), "--verify", acksFile}, how...)
	for _, t := range targets {
		args = append(args, "--target", t)
	}
	l.pod = l.withAcks(toolPod(o, o.Name+"-load", args...))
	if err := h.Create(ctx, l.pod); err != nil {
		return nil, err
	}
	return l, h.Eventually(ctx, "load runs", 2*time.Minute, func(ctx context.Context) (string, error) {
		p, err := h.Pod(ctx, l.pod.Namespace, l.pod.Name)
		if err != nil || p.Status.Phase == corev1.PodRunning {
			return "", err
		}
		return string(p.Status.Phase), nil
	})
}

// Stop ends the load; what it had sent and not heard of is nobody's promise.
func (l *Load) Stop(ctx context.Context) error {
	if err := client.IgnoreNotFound(l.h.Delete(ctx, l.pod)); err != nil {
		return err
	}
	return l.h.Eventually(ctx, "load stopped", time.Minute, func(ctx context.Context) (string, error) {
		_, err := l.h.Pod(ctx, l.pod.Namespace, l.pod.Name)
		if client.IgnoreNotFound(err) == nil && err != nil {
			return "", nil
		}
		return "still there", err
	})
}

var verified = regexp.MustCompile(`verified: (\d+) acknowledged transactions`)

// verify runs the check in the cluster and returns how many acknowledged
// transactions it looked for.
func (l *Load) verify(ctx context.Context, args ...string) (int, error) {
	pod := l.withAcks(toolPod(l.store, fmt.Sprintf("%s-verify-%d", l.store.Name, time.Now().UnixNano()%1_000_000), append([]string{"store", "load", "verify", acksFile}, args...)...))
	out, err := l.h.RunPod(ctx, pod, 5*time.Minute)
	if err != nil {
		return 0, err
	}
	m := verified.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("verification said: %s", out)
	}
	return strconv.Atoi(m[1])
}

// VerifyAPI checks what was acknowledged against the API of the store's pods.
func (l *Load) VerifyAPI(ctx context.Context) (int, error) {
	var args []string
	for _, t := range l.targets {
		args = append(args, "--target", t)
	}
	return l.verify(ctx, args...)
}

// VerifyRoot checks it against the root alone: after a last checkpoint, with the
// pods stopped.
func (l *Load) VerifyRoot(ctx context.Context) (int, error) {
	return l.verify(ctx, "--root", l.store.InClusterRoot())
}

// StopAndVerify stops the load and checks it against the API.
func (l *Load) StopAndVerify(ctx context.Context) (int, error) {
	if err := l.Stop(ctx); err != nil {
		return 0, err
	}
	return l.VerifyAPI(ctx)
}
