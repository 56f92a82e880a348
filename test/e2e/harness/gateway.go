// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Gateway is a test/e2e/s3proxy before the object store: slow, or lenient.
type Gateway struct {
	h    *Harness
	name string
}

const gatewayManifest = `
apiVersion: v1
kind: Service
metadata: {name: {{.Name}}, namespace: storage}
spec:
  selector: {app: {{.Name}}}
  ports: [{name: s3, port: 7070}, {name: admin, port: 7071}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{.Name}}, namespace: storage}
spec:
  replicas: 1
  selector: {matchLabels: {app: {{.Name}}}}
  template:
    metadata: {labels: {app: {{.Name}}}}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: s3proxy
        image: salvor.local/s3proxy:dev
        imagePullPolicy: Never
        args: [--target, {{.Target}}{{range .Args}}, {{.}}{{end}}]
        env:
        - {name: AWS_ACCESS_KEY_ID, value: {{.AccessKey}}}
        - {name: AWS_SECRET_ACCESS_KEY, value: {{.SecretKey}}}
        ports: [{containerPort: 7070}, {containerPort: 7071}]
        readinessProbe:
          httpGet: {path: /healthz, port: 7071}
          periodSeconds: 1
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
`

// StartGateway runs a gateway with flags of test/e2e/s3proxy.
func (h *Harness) StartGateway(ctx context.Context, name string, args ...string) (*Gateway, error) {
	if err := h.ApplyTemplate(ctx, gatewayManifest, map[string]any{
		"Name": name, "Target": StorageEndpoint, "Args": args, "AccessKey": AccessKey, "SecretKey": SecretKey,
	}); err != nil {
		return nil, err
	}
	return &Gateway{h, name}, h.DeploymentReady(ctx, StorageNamespace, name, time.Minute)
}

// Endpoint for StoreOptions.
func (g *Gateway) Endpoint() string { return "http://" + g.name + ".storage.svc:7070" }

// Stop deletes the gateway.
func (g *Gateway) Stop(ctx context.Context) error {
	meta := metav1.ObjectMeta{Namespace: StorageNamespace, Name: g.name}
	for _, o := range []client.Object{&appsv1.Deployment{ObjectMeta: meta}, &corev1.Service{ObjectMeta: meta}} {
		if err := client.IgnoreNotFound(g.h.Delete(ctx, o)); err != nil {
			return err
		}
	}
	return nil
}

// Drained waits until no request of a client is under way: that client is stopped,
// and what it had sent has arrived. It asks until it hears 0 twice running: what was
// sent just now may not have been read yet.
func (g *Gateway) Drained(ctx context.Context, ip string, within time.Duration) error {
	quiet := 0
	return g.h.Eventually(ctx, "the requests of "+ip+" through "+g.name, within, func(ctx context.Context) (string, error) {
		raw, err := g.ask(ctx, "inside/"+ip)
		if err != nil {
			return "", err
		}
		n, err := strconv.Atoi(strings.TrimSpace(raw))
		if err != nil {
			return "", err
		}
		if quiet++; n > 0 {
			quiet = 0
		}
		if quiet == 2 {
			return "", nil
		}
		return fmt.Sprintf("%d under way", n), nil
	})
}

// Requests lists what a client has asked for so far, as "PUT /bucket/key".
func (g *Gateway) Requests(ctx context.Context, ip string) ([]string, error) {
	raw, err := g.ask(ctx, "requests/"+ip)
	return slices.DeleteFunc(strings.Split(raw, "\n"), func(l string) bool { return l == "" }), err
}

func (g *Gateway) ask(ctx context.Context, path string) (string, error) {
	raw, err := g.h.Kube.CoreV1().Services(StorageNamespace).ProxyGet("http", g.name, "7071", path, nil).DoRaw(ctx)
	return string(raw), err
}
