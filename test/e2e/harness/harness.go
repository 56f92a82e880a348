// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package harness is the API server's side of the end-to-end tests, the demo and
// the benchmarks: install the operator, start an object store, create stores,
// wait for what a person would wait for.
package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// Harness talks to one cluster.
type Harness struct {
	client.WithWatch
	Config *rest.Config
	Kube   kubernetes.Interface
	// Out gets one line per step that a person would want to see.
	Out   io.Writer
	start time.Time
}

// Connect uses KUBECONFIG (or the usual places).
func Connect(out io.Writer) (*Harness, error) {
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster: set KUBECONFIG, or run `make cluster-up`: %w", err)
	}
	cfg.QPS, cfg.Burst = 100, 200
	scheme := runtime.NewScheme()
	if err := errors.Join(clientscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return &Harness{WithWatch: c, Config: cfg, Kube: kube, Out: out, start: time.Now()}, nil
}

// Say prints a line with the time since Connect.
func (h *Harness) Say(format string, args ...any) {
	fmt.Fprintf(h.Out, "%6.1fs  %s\n", time.Since(h.start).Seconds(), fmt.Sprintf(format, args...))
}

// ApplyTemplate renders a YAML template and applies every document in it.
func (h *Harness) ApplyTemplate(ctx context.Context, text string, data any) error {
	t, err := template.New("manifest").Option("missingkey=error").Parse(text)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	return h.Apply(ctx, b.Bytes())
}

// Apply applies every document of a YAML stream, server-side.
func (h *Harness) Apply(ctx context.Context, stream []byte) error {
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(stream), 4096)
	for {
		o := &unstructured.Unstructured{}
		switch err := d.Decode(&o.Object); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("parse manifest: %w", err)
		case len(o.Object) == 0:
			continue
		}
		if err := h.WithWatch.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("salvor-harness"), client.ForceOwnership); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
}

// Eventually polls f until it returns "" or the deadline passes; then its last
// word is the error. f says what is still missing.
func (h *Harness) Eventually(ctx context.Context, what string, within time.Duration, f func(context.Context) (missing string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := "nothing seen yet"
	for {
		missing, err := f(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			last = err.Error()
		case err == nil && missing == "":
			return nil
		case err == nil:
			last = missing
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s: %s", what, within, last)
		case <-tick.C:
		}
	}
}

// Namespace creates a namespace that enforces restricted Pod Security.
func (h *Harness) Namespace(ctx context.Context, name string) error {
	return h.ApplyTemplate(ctx, `
apiVersion: v1
kind: Namespace
metadata:
  name: {{.}}
  labels:
    pod-security.kubernetes.io/enforce: restricted
`, name)
}

// LetGo deletes a namespace and does not wait for its end.
func (h *Harness) LetGo(ctx context.Context, name string) error {
	return client.IgnoreNotFound(h.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
}

// DeleteNamespace deletes a namespace and waits until it is gone.
func (h *Harness) DeleteNamespace(ctx context.Context, name string, within time.Duration) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := h.LetGo(ctx, name); err != nil {
		return err
	}
	return h.Eventually(ctx, "namespace "+name+" gone", within, func(ctx context.Context) (string, error) {
		err := h.Get(ctx, client.ObjectKeyFromObject(ns), ns)
		if client.IgnoreNotFound(err) == nil && err != nil {
			return "", nil
		}
		return fmt.Sprintf("still there: %v", ns.Status.Conditions), err
	})
}

// Getenv returns an environment variable or a default.
func Getenv(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
