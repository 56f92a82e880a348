// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/internal/failpoint"
)

// Ports of a store pod.
const (
	APIPort     = 8410
	ControlPort = 8411
)

// ToPod is a request to a pod's port by way of the API server.
func (h *Harness) ToPod(verb, namespace, pod string, port int, path string) *rest.Request {
	return h.Kube.CoreV1().RESTClient().Verb(verb).Namespace(namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", pod, port)).SubResource("proxy").Suffix(path)
}

// Park makes the next arrival at a failpoint of a store's pod stop there.
func (h *Harness) Park(ctx context.Context, namespace, pod string, point failpoint.Point) error {
	return h.parkAt(ctx, namespace, pod, ControlPort, point)
}

// AwaitParked waits until somebody stands at the failpoint.
func (h *Harness) AwaitParked(ctx context.Context, namespace, pod string, point failpoint.Point, within time.Duration) error {
	return h.awaitParkedAt(ctx, namespace, pod, ControlPort, point, within)
}

// ReleasePoint lets the arrival go on.
func (h *Harness) ReleasePoint(ctx context.Context, namespace, pod string, point failpoint.Point) error {
	return h.releaseAt(ctx, namespace, pod, ControlPort, point)
}

func (h *Harness) parkAt(ctx context.Context, namespace, pod string, port int, point failpoint.Point) error {
	return h.ToPod(http.MethodPost, namespace, pod, port, "failpoint/v1/"+point.String()).Do(ctx).Error()
}

func (h *Harness) awaitParkedAt(ctx context.Context, namespace, pod string, port int, point failpoint.Point, within time.Duration) error {
	return h.Eventually(ctx, pod+" parked at "+point.String(), within, func(ctx context.Context) (string, error) {
		raw, err := h.ToPod(http.MethodGet, namespace, pod, port, "failpoint/v1/"+point.String()).DoRaw(ctx)
		if err != nil {
			return "", err
		}
		if string(raw) == `{"armed":true,"arrived":true}`+"\n" {
			return "", nil
		}
		return fmt.Sprintf("says %q", raw), nil
	})
}

func (h *Harness) releaseAt(ctx context.Context, namespace, pod string, port int, point failpoint.Point) error {
	return h.ToPod(http.MethodDelete, namespace, pod, port, "failpoint/v1/"+point.String()).Do(ctx).Error()
}

// Transact sends a store one transaction that puts a row under one key of a table.
func (h *Harness) Transact(ctx context.Context, namespace, pod, table string, v int) error {
	body := fmt.Sprintf(`{"statements":[{"op":"put","table":%q,"key":"k","row":{"v":%d}},{"op":"put","table":%q,"key":"k","row":{"v":%d}}]}`, table, v, table+"2", v)
	return h.ToPod(http.MethodPost, namespace, pod, APIPort, "v1/transactions").SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(ctx).Error()
}

// RunPod runs a pod of the salvor image to its end and returns its log. An exit
// code other than 0 is an error that carries the log.
func (h *Harness) RunPod(ctx context.Context, pod *corev1.Pod, within time.Duration) (string, error) {
	if err := h.Create(ctx, pod); err != nil {
		return "", err
	}
	err := h.Eventually(ctx, "pod "+pod.Name+" finished", within, func(ctx context.Context) (string, error) {
		if err := h.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return "", err
		}
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			return "", nil
		}
		return string(pod.Status.Phase), nil
	})
	log, lerr := h.Logs(ctx, pod.Namespace, pod.Name)
	if err != nil {
		return log, err
	}
	if pod.Status.Phase == corev1.PodFailed {
		return log, fmt.Errorf("pod %s failed: %s", pod.Name, log)
	}
	return log, lerr
}

// Logs of a pod's only container.
func (h *Harness) Logs(ctx context.Context, namespace, pod string) (string, error) {
	r, err := h.Kube.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{}).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}
