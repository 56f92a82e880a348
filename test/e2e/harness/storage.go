// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The object store of the tests: a real versitygw on a volume.
const (
	StorageNamespace = "storage"
	StorageImage     = "salvor.local/versitygw:1.8.0"
	StorageEndpoint  = "http://versitygw.storage.svc:7070"
	StorageBucket    = "stores"
	AccessKey        = "salvor-test"
	SecretKey        = "salvor-test-secret"
)

const storageManifest = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: versitygw, namespace: storage}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Service
metadata: {name: versitygw, namespace: storage}
spec:
  selector: {app: versitygw}
  ports: [{name: s3, port: 7070}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: versitygw, namespace: storage}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector: {matchLabels: {app: versitygw}}
  template:
    metadata: {labels: {app: versitygw}}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      initContainers:
      - name: bucket
        image: salvor.local/busybox:1
        imagePullPolicy: Never
        command: [mkdir, -p, /data/{{.Bucket}}]
        securityContext: &locked
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
        volumeMounts: [{name: data, mountPath: /data}]
      containers:
      - name: versitygw
        image: {{.Image}}
        imagePullPolicy: Never
        args: [--port, ":7070", --region, us-east-1, --health, /healthz, --quiet, --keep-alive, posix, /data]
        env:
        - {name: ROOT_ACCESS_KEY_ID, value: {{.AccessKey}}}
        - {name: ROOT_SECRET_ACCESS_KEY, value: {{.SecretKey}}}
        ports: [{containerPort: 7070}]
        resources: {requests: {cpu: 200m, memory: 64Mi}} # everybody's: not the first to wait
        readinessProbe:
          httpGet: {path: /healthz, port: 7070}
          periodSeconds: 1
        securityContext: *locked
        volumeMounts: [{name: data, mountPath: /data}]
      volumes:
      - name: data
        persistentVolumeClaim: {claimName: versitygw}
`

// StartStorage runs versitygw in the cluster, with one bucket, and waits for it.
func (h *Harness) StartStorage(ctx context.Context) error {
	if err := h.Namespace(ctx, StorageNamespace); err != nil {
		return err
	}
	if err := h.ApplyTemplate(ctx, storageManifest, map[string]string{
		"Image": StorageImage, "Bucket": StorageBucket, "AccessKey": AccessKey, "SecretKey": SecretKey,
	}); err != nil {
		return err
	}
	return h.DeploymentReady(ctx, StorageNamespace, "versitygw", 2*time.Minute)
}

// DeploymentReady waits until every replica is available and up to date.
func (h *Harness) DeploymentReady(ctx context.Context, namespace, name string, within time.Duration) error {
	return h.Eventually(ctx, "deployment "+name+" ready", within, func(ctx context.Context) (string, error) {
		var d appsv1.Deployment
		if err := h.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &d); err != nil {
			return "", err
		}
		want := int32(1)
		if d.Spec.Replicas != nil {
			want = *d.Spec.Replicas
		}
		if d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < want || d.Status.AvailableReplicas < want || d.Status.Replicas > want {
			return fmt.Sprintf("%d of %d available, %d updated, %d in all", d.Status.AvailableReplicas, want, d.Status.UpdatedReplicas, d.Status.Replicas), nil
		}
		return "", nil
	})
}
