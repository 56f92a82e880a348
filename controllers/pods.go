// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"net"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/detect"
)

// TrimPod drops what nobody here looks at before a pod enters the cache.
func TrimPod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	slim := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			DeletionTimestamp: pod.DeletionTimestamp, CreationTimestamp: pod.CreationTimestamp,
			Labels: map[string]string{v1alpha1.LabelStore: pod.Labels[v1alpha1.LabelStore]},
		},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, PodIP: pod.Status.PodIP},
	}
	if of, ok := pod.Labels[appsv1.ControllerRevisionHashLabelKey]; ok {
		slim.Labels[appsv1.ControllerRevisionHashLabelKey] = of
	}
	slim.Spec.ReadinessGates, slim.Spec.NodeName = pod.Spec.ReadinessGates, pod.Spec.NodeName
	for _, c := range pod.Spec.Containers {
		slim.Spec.Containers = append(slim.Spec.Containers, corev1.Container{Name: c.Name, Ports: c.Ports})
	}
	for _, c := range pod.Status.ContainerStatuses {
		slim.Status.ContainerStatuses = append(slim.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, State: c.State, LastTerminationState: c.LastTerminationState, RestartCount: c.RestartCount, Ready: c.Ready,
		})
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
			slim.Status.Conditions = append(slim.Status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status})
		}
	}
	return slim, nil
}

// podFacts says what a pod's status means for the writer in it. It is pure.
func podFacts(pod *corev1.Pod, port int32) detect.Pod {
	p := detect.Pod{Streams: true, Incarnation: string(pod.UID) + "/0", State: detect.PodNotRunning}
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		p.State = detect.PodFailed
		return p
	}
	c := storeContainer(pod, port)
	if c == nil {
		return p // nothing was started yet
	}
	p.Incarnation = fmt.Sprintf("%s/%d", pod.UID, c.RestartCount)
	switch {
	case c.State.Running != nil && nodeLost(pod):
		p.State = detect.PodNodeLost
	case c.State.Running != nil:
		p.State = detect.PodRunning
	case c.State.Terminated != nil, c.LastTerminationState.Terminated != nil:
		p.State = detect.PodTerminated
	}
	return p
}

// storeContainer is the status of the container that listens on the control port;
// where no port is declared, of the first.
func storeContainer(pod *corev1.Pod, port int32) *corev1.ContainerStatus {
	name := ""
	for i, c := range pod.Spec.Containers {
		if i == 0 {
			name = c.Name
		}
		for _, p := range c.Ports {
			if p.ContainerPort == port {
				name = c.Name
			}
		}
	}
	for i, c := range pod.Status.ContainerStatuses {
		if c.Name == name {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// nodeLost: when a node's kubelet falls silent, the control plane sets the pods'
// condition Ready to False over its head; the kubelet itself would have set
// ContainersReady too. Seen this way nobody has to watch nodes.
func nodeLost(pod *corev1.Pod) bool {
	if len(pod.Spec.ReadinessGates) > 0 || !pod.DeletionTimestamp.IsZero() {
		return false // others than the kubelet have a say in Ready
	}
	var ready, containers corev1.ConditionStatus
	for _, c := range pod.Status.Conditions {
		switch c.Type {
		case corev1.PodReady:
			ready = c.Status
		case corev1.ContainersReady:
			containers = c.Status
		}
	}
	return ready == corev1.ConditionFalse && containers == corev1.ConditionTrue
}

func controlAddr(pod *corev1.Pod, port int32) string {
	if pod.Status.PodIP == "" {
		return ""
	}
	return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port)))
}
