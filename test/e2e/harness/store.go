// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// StoreOptions describe a managed store on the tests' object store.
type StoreOptions struct {
	Namespace, Name string
	Replicas        int
	// Interval between checkpoints, as "2s".
	Interval string
	// Image of the store's pods; default the operator's --store-image.
	Image string
	// Endpoint of the object store; default the tests' own, with nothing before it.
	Endpoint string
}

const storeManifest = `
apiVersion: v1
kind: Secret
metadata: {name: {{.Name}}-root, namespace: {{.Namespace}}}
stringData: {AWS_ACCESS_KEY_ID: {{.AccessKey}}, AWS_SECRET_ACCESS_KEY: {{.SecretKey}}}
---
apiVersion: v1
kind: Secret
metadata: {name: {{.Name}}-audit, namespace: {{.Namespace}}}
stringData:
  current: "2026-01"
  "2026-01": 7c9a4c5ce45fd1e0b1d4e6a1f0c2b3a4958677069f8e7d6c5b4a39281706f5e4
---
apiVersion: recovery.salvor.io/v1alpha1
kind: WALStore
metadata: {name: {{.Name}}, namespace: {{.Namespace}}}
spec:
  root:
    uri: {{.Root}}
    endpoint: {{.Endpoint}}
    pathStyle: true
    credentials: {secretRef: {name: {{.Name}}-root}}
  managed:
    replicas: {{.Replicas}}
    checkpointInterval: {{.Interval}}
    storage: {size: 256Mi}
{{- if .Image}}
    image: {{.Image}}
{{- end}}
  audit: {keySecretRef: {name: {{.Name}}-audit}}
`

// run tells this process from others: the bucket outlives the stores, and a test
// does not want to find what an earlier one has left.
var run = strconv.FormatInt(time.Now().Unix(), 36)

// RootPrefix is where a store of the harness lives in the bucket.
func (o StoreOptions) RootPrefix() string { return o.Namespace + "-" + o.Name + "-" + run }

// RootURI of a store of the harness.
func (o StoreOptions) RootURI() string { return "s3://" + StorageBucket + "/" + o.RootPrefix() }

// CreateStore creates a managed store and waits until it is Ready.
func (h *Harness) CreateStore(ctx context.Context, o StoreOptions, within time.Duration) error {
	if err := h.ApplyStore(ctx, o); err != nil {
		return err
	}
	return h.StoreReady(ctx, o.Namespace, o.Name, within)
}

// ApplyStore creates a managed store.
func (h *Harness) ApplyStore(ctx context.Context, o StoreOptions) error {
	if err := h.Namespace(ctx, o.Namespace); err != nil {
		return err
	}
	if o.Endpoint == "" {
		o.Endpoint = StorageEndpoint
	}
	return h.ApplyTemplate(ctx, storeManifest, map[string]any{
		"Namespace": o.Namespace, "Name": o.Name, "Replicas": o.Replicas, "Interval": o.Interval, "Image": o.Image,
		"Root": o.RootURI(), "Endpoint": o.Endpoint, "AccessKey": AccessKey, "SecretKey": SecretKey,
	})
}

// StoreReady waits until a WALStore says Ready for its newest spec.
func (h *Harness) StoreReady(ctx context.Context, namespace, name string, within time.Duration) error {
	return h.Eventually(ctx, "walstore "+name+" ready", within, func(ctx context.Context) (string, error) {
		var s v1alpha1.WALStore
		if err := h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &s); err != nil {
			return "", err
		}
		if meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionReady) && s.Status.ObservedGeneration == s.Generation {
			return "", nil
		}
		return Conditions(s.Status.Conditions), nil
	})
}

// Conditions prints conditions for people. It is never empty: to Eventually, ""
// says that nothing is missing.
func Conditions(cs []metav1.Condition) string {
	if len(cs) == 0 {
		return "no condition yet"
	}
	var out []string
	for _, c := range cs {
		out = append(out, fmt.Sprintf("%s=%s(%s: %s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(out, "; ")
}

// Sidecars lists a store's RecoverySidecars.
func (h *Harness) Sidecars(ctx context.Context, namespace, store string) ([]v1alpha1.RecoverySidecar, error) {
	var l v1alpha1.RecoverySidecarList
	if err := h.List(ctx, &l, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	var out []v1alpha1.RecoverySidecar
	for _, s := range l.Items {
		if s.Spec.StoreRef.Name == store {
			out = append(out, s)
		}
	}
	return out, nil
}

// Pod reads one pod.
func (h *Harness) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	var p corev1.Pod
	return &p, h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &p)
}
