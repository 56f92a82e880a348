// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ManagedStore is the reference store, run by the operator.
type ManagedStore struct {
	// Replicas is the number of pods; each owns its own tables. When it shrinks, the
	// pods with the highest numbers are drained first, one at a time: what they have
	// acknowledged is published, and read from the root from then on. Their volumes
	// stay. When it grows again, they write the same tables again.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Replicas int32 `json:"replicas,omitempty"`

	// Image of the store. Empty: the one that the operator was started with.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// ImagePullPolicy is as a container's. Empty: Kubernetes decides by the tag.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy string `json:"imagePullPolicy,omitempty"`

	// Storage of each pod, for its write-ahead log.
	// +optional
	// +kubebuilder:default={}
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="storage is immutable: volumes are claimed once; make a new WALStore with other storage and load it"
	Storage ManagedStorage `json:"storage,omitzero"`

	// Resources of each pod's store container. By default it asks for a little, so that
	// the pod is not in the class BestEffort, which is starved and evicted first.
	// +optional
	// +kubebuilder:default={requests:{cpu:"10m",memory:"32Mi"}}
	Resources *ManagedResources `json:"resources,omitempty"`

	// CheckpointInterval is how often each pod publishes what its log has made
	// durable.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('1h')",message="checkpointInterval must be between 100ms and 1h"
	CheckpointInterval *metav1.Duration `json:"checkpointInterval,omitempty"`

	// Log is how each pod keeps its write-ahead log.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.syncInterval) || has(self.sync) && self.sync == 'Interval'",message="log.syncInterval is for log.sync Interval: set that, or leave it out"
	Log ManagedLog `json:"log,omitzero"`

	// DrainTimeout is how long a pod that ends may take to publish what it has
	// acknowledged. What does not go out in that time is on its volume. The pod's grace
	// period is 10 seconds longer.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="drainTimeout must be between 1s and 1h"
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`

	// NodeSelector restricts the nodes that the pods run on.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// PriorityClassName of the pods.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// LogSync says when a pod answers a transaction.
type LogSync string

// The ways. A crash of the process loses nothing in any of them.
const (
	// SyncCommit: when the volume has it. A power cut loses nothing.
	SyncCommit LogSync = "Commit"
	// SyncInterval: when the node has it. A power cut, or a crash of the node, loses at
	// most what was answered within SyncInterval.
	SyncInterval LogSync = "Interval"
	// SyncNone: when the node has it. A power cut, or a crash of the node, loses what was
	// answered since the last checkpoint.
	SyncNone LogSync = "None"
)

// ManagedLog is how a pod keeps its write-ahead log.
type ManagedLog struct {
	// Sync says when a transaction is answered. Commit, the default: when it survives a
	// power cut. Interval: before that, and a crash of the node loses at most what was
	// answered within syncInterval. None: a crash of the node loses what was answered
	// since the last checkpoint. A crash of the process never loses anything.
	// +optional
	// +kubebuilder:validation:Enum=Commit;Interval;None
	Sync LogSync `json:"sync,omitempty"`

	// SyncInterval is what a crash of the node may lose with Interval. Empty: 50ms.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1ms') && duration(self) <= duration('1m')",message="log.syncInterval must be between 1ms and 1m"
	SyncInterval *metav1.Duration `json:"syncInterval,omitempty"`

	// MirrorInterval is how long what was answered is on the volume alone at most: after
	// that the root has it too, and a pod that loses its volume comes back with it. A pod
	// that is written to sends one request each interval; an idle one none. Empty: 5s;
	// 0s: the log is not mirrored.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration('0s') || duration(self) >= duration('100ms') && duration(self) <= duration('1h')",message="log.mirrorInterval must be 0s (off), or between 100ms and 1h"
	MirrorInterval *metav1.Duration `json:"mirrorInterval,omitempty"`
}

// ManagedStorage is the volume of each pod.
type ManagedStorage struct {
	// Size of the volume.
	// +optional
	// +kubebuilder:default="1Gi"
	Size *resource.Quantity `json:"size,omitempty"`

	// StorageClassName of the volume. Empty: the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`
}

// ManagedResources are a container's requests and limits, as far as a store has
// any.
type ManagedResources struct {
	// Requests are what the scheduler sets aside.
	// +optional
	Requests *ResourceAmounts `json:"requests,omitempty"`
	// Limits are what the container may not exceed.
	// +optional
	Limits *ResourceAmounts `json:"limits,omitempty"`
}

// ResourceAmounts are amounts of what a store uses.
type ResourceAmounts struct {
	// CPU in cores.
	// +optional
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// Memory in bytes.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`
}
