// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StoreMaintenanceSpec says which stores are frozen, why, and until when.
//
// +kubebuilder:validation:XValidation:rule="has(self.storeRef) != has(self.selector)",message="set exactly one of storeRef (one WALStore) and selector (WALStores of this namespace by their labels)"
// +kubebuilder:validation:XValidation:rule="has(self.storeRef) == has(oldSelf.storeRef) && (!has(self.storeRef) || self.storeRef == oldSelf.storeRef) && has(self.selector) == has(oldSelf.selector) && (!has(self.selector) || self.selector == oldSelf.selector) && self.reason == oldSelf.reason && has(self.hooks) == has(oldSelf.hooks) && (!has(self.hooks) || self.hooks == oldSelf.hooks)",message="all but until is immutable: delete this StoreMaintenance to thaw, and make another"
// +kubebuilder:validation:XValidation:rule="self.until >= oldSelf.until",message="until may only be moved to later; to thaw earlier, delete this StoreMaintenance"
type StoreMaintenanceSpec struct {
	// StoreRef names one WALStore of this namespace.
	// +optional
	StoreRef *LocalReference `json:"storeRef,omitempty"`

	// Selector picks WALStores of this namespace by their labels, once: those that it
	// matches when it is first looked at. An empty selector picks all of them.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// Reason is told to everybody who waits, and stays in the manifest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`

	// Until is when the stores take writes again at the latest, whether anybody is
	// there to thaw them or not: by the object store's clock. It may be moved to
	// later while they are held.
	// +required
	Until metav1.Time `json:"until"`

	// Drain bounds how long writers may take to finish what they have in hand.
	// +optional
	// +kubebuilder:default={}
	Drain Drain `json:"drain,omitzero"`

	// Hooks quiesce pods that do not speak control, and undo that: each in its order in
	// each pod with the label recovery.salvor.io/store of a store, post hooks the other way
	// round.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(h, self.exists_one(o, o.name == h.name))",message="two hooks have one name"
	Hooks []Hook `json:"hooks,omitempty"`
}

// OnDrainTimeout says what becomes of a maintenance whose stores do not drain.
//
// +kubebuilder:validation:Enum=Release;Hold
type OnDrainTimeout string

// The choices when the time to drain is over.
const (
	DrainRelease OnDrainTimeout = "Release"
	DrainHold    OnDrainTimeout = "Hold"
)

// Drain is the time between the lock and the last writer's acknowledgement.
//
// +kubebuilder:validation:XValidation:rule="has(self.timeout) == has(oldSelf.timeout) && (!has(self.timeout) || duration(self.timeout) == duration(oldSelf.timeout)) && has(self.onTimeout) == has(oldSelf.onTimeout) && (!has(self.onTimeout) || self.onTimeout == oldSelf.onTimeout)",message="all but until is immutable: delete this StoreMaintenance to thaw, and make another"
type Drain struct {
	// Timeout from the lock on; the pods that have not acknowledged then are named
	// in the status.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="drain.timeout must be between 1s and 24h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// OnTimeout Release lets go of all stores of this maintenance; Hold freezes a
	// store although some of its pods have not acknowledged.
	// +optional
	// +kubebuilder:default=Release
	OnTimeout OnDrainTimeout `json:"onTimeout,omitempty"`
}

// StoreMaintenanceStatus is where the freeze is. The locks in the stores' manifests
// are the truth.
type StoreMaintenanceStatus struct {
	// ObservedGeneration is the generation of the spec that the rest is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Accepted, Draining, Held, Released, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Summary is held/all stores, for the column of kubectl get.
	// +optional
	Summary string `json:"summary,omitempty"`

	// Leaving: the freeze lets go of everything, and freezes nothing again.
	// +optional
	Leaving bool `json:"leaving,omitempty"`

	// LeavingReason is why it gave up: DrainTimedOut or HookFailed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	LeavingReason string `json:"leavingReason,omitempty"`

	// Stores of this maintenance, in the order in which their locks are taken. They
	// are chosen when it is first looked at.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Stores []MaintainedStore `json:"stores,omitempty"`
}

// MaintainedStore is one store's part of a maintenance.
type MaintainedStore struct {
	// Name of the WALStore.
	Name string `json:"name"`
	// State: Requested, Draining, Held or Released.
	// +optional
	State string `json:"state,omitempty"`
	// AskedAt is the manifest's version when the lock was first asked for: if it was
	// taken, then behind that.
	// +optional
	AskedAt *int64 `json:"askedAt,omitempty"`
	// LockedAt is the version at which the lock was taken.
	// +optional
	LockedAt int64 `json:"lockedAt,omitempty"`
	// Until is when the lock ends at the latest.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
	// EndedAt is the version at which the lock ended, EndedBy how: release, expire
	// or adopt.
	// +optional
	EndedAt int64 `json:"endedAt,omitempty"`
	// +optional
	EndedBy string `json:"endedBy,omitempty"`
	// Message says what it waits for, or how it ended.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// Acknowledged is acknowledged/all pods.
	// +optional
	Acknowledged string `json:"acknowledged,omitempty"`
	// Hooks count what the hooks did in its pods; HookRun, of the store's name, has it
	// pod by pod. It is set when the HookRun was seen: one that is gone then was deleted
	// by somebody who has undone the rest by hand.
	// +optional
	Hooks *HookCounts `json:"hooks,omitempty"`
	// Pods are where each writer is in the handshake, the first 50 of them, those that
	// have not acknowledged first.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Pods []MaintainedPod `json:"pods,omitempty"`
}

// MaintainedPod is one writer's part of the handshake.
type MaintainedPod struct {
	// Name of the pod.
	Name string `json:"name"`
	// Acknowledged: nothing that writes is under way, and nothing that does begins.
	// +optional
	Acknowledged bool `json:"acknowledged"`
	// Gone: it counts as drained because its epoch has ended, or because it died while
	// the store was held.
	// +optional
	Gone bool `json:"gone,omitempty"`
	// Position is the newest position of its log that is durable.
	// +optional
	Position *int64 `json:"position,omitempty"`
	// WaitsFor says what is missing.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	WaitsFor string `json:"waitsFor,omitempty"`
}

// StoreMaintenance freezes stores: their writers finish what they have in hand, and
// park whoever comes to write, until the StoreMaintenance is deleted or its time is
// over. Reads go on. Create it to freeze, delete it to thaw.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=storemaintenances,singular=storemaintenance,shortName=smt,categories=salvor,scope=Namespaced
// +kubebuilder:printcolumn:name="Stores",type=string,JSONPath=`.status.summary`,description="stores that are held / stores of this maintenance"
// +kubebuilder:printcolumn:name="Held",type=string,JSONPath=`.status.conditions[?(@.type=="Held")].status`
// +kubebuilder:printcolumn:name="Released",type=string,JSONPath=`.status.conditions[?(@.type=="Released")].status`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.spec.until`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Accepted",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Held")].message`
type StoreMaintenance struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +required
	Spec StoreMaintenanceSpec `json:"spec"`
	// +optional
	Status StoreMaintenanceStatus `json:"status,omitzero"`
}

// StoreMaintenanceList is a list of StoreMaintenances.
//
// +kubebuilder:object:root=true
type StoreMaintenanceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []StoreMaintenance `json:"items"`
}
