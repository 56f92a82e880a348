// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// InClusterRoot is the store's root as a pod of the cluster gives it to --root.
func (o StoreOptions) InClusterRoot() string {
	return o.RootURI() + "?endpoint=" + StorageEndpoint + "&region=us-east-1&path_style=true"
}

// toolPod is a pod of the salvor image with the store's credentials, its audit
// keys under /keys and room under /work.
func toolPod(o StoreOptions, name string, args ...string) *corev1.Pod {
	no, yes, user := false, true, int64(65532)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy:                corev1.RestartPolicyNever,
			AutomountServiceAccountToken: &no,
			EnableServiceLinks:           &no,
			// It runs on a cordoned node too: then the store's pods do not.
			Tolerations: []corev1.Toleration{{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &user, RunAsGroup: &user, FSGroup: &user,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "salvor", Image: Image, ImagePullPolicy: corev1.PullNever, Args: args,
				EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: o.Name + "-root"}}}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
				VolumeMounts: []corev1.VolumeMount{{Name: "keys", MountPath: "/keys"}, {Name: "work", MountPath: "/work"}},
			}},
			Volumes: []corev1.Volume{
				{Name: "keys", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: o.Name + "-audit"}}},
				{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
		},
	}
}

// RunSalvor runs the salvor command in the cluster, beside the store, and returns
// its output.
func (h *Harness) RunSalvor(ctx context.Context, o StoreOptions, name string, within time.Duration, args ...string) (string, error) {
	pod := toolPod(o, fmt.Sprintf("%s-%d", name, time.Now().UnixNano()%1_000_000), args...)
	out, err := h.RunPod(ctx, pod, within)
	return out, errors.Join(err, client.IgnoreNotFound(h.Delete(ctx, pod)))
}
