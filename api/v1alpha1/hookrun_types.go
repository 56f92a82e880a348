// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// HookRunSpec is what is run, and for whom. It is a copy: a StoreMaintenance is
// thawed by deleting it, and what its hooks did is undone after that.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a HookRun is the operator's record and never changes; delete it when what it did was undone by hand"
type HookRunSpec struct {
	// StoreRef names the WALStore whose pods it is about.
	// +required
	StoreRef LocalReference `json:"storeRef"`

	// Maintenance whose hooks these are.
	// +required
	Maintenance MaintenanceReference `json:"maintenance"`

	// Hooks of the StoreMaintenance.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Hooks []Hook `json:"hooks"`
}

// MaintenanceReference is one StoreMaintenance, and no successor of its name.
type MaintenanceReference struct {
	// Name of the StoreMaintenance.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// UID of the StoreMaintenance.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
}

// HookRunStatus is what was begun, with what end, in each pod.
type HookRunStatus struct {
	// Conditions: Quiesced, Undone, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// UndoSince is when the undoing began; from then on no pre hook is run. UndoWhy says
	// why it did.
	// +optional
	UndoSince *metav1.MicroTime `json:"undoSince,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	UndoWhy string `json:"undoWhy,omitempty"`
	// UndoUntil is how long what cannot be undone is tried.
	// +optional
	UndoUntil *metav1.MicroTime `json:"undoUntil,omitempty"`

	// Until is when the maintenance is over, as it was said last.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// Counts of hooks in pods.
	// +optional
	Counts HookCounts `json:"counts,omitzero"`

	// Pods in which something was begun.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Pods []HookedPod `json:"pods,omitempty"`
}

// HookCounts count hooks, each once for each pod.
type HookCounts struct {
	// Ran: pre has succeeded at least once.
	// +optional
	Ran int32 `json:"ran"`
	// Failed: the last attempt of what is wanted now has failed.
	// +optional
	Failed int32 `json:"failed"`
	// Undone: post has succeeded, or there is none.
	// +optional
	Undone int32 `json:"undone"`
	// Owed: pre may have begun, and is not undone.
	// +optional
	Owed int32 `json:"owed"`
	// Summary for the column of kubectl get: undone/all that may have begun.
	// +optional
	Summary string `json:"summary,omitempty"`
}

// HookedPod is what hooks did in the pods of one name.
type HookedPod struct {
	// Name of the pod. A pod that takes its place has the same.
	Name string `json:"name"`
	// Hooks in the order of the spec.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Hooks []HookedBy `json:"hooks,omitempty"`
}

// HookedBy is what one hook did in one pod.
type HookedBy struct {
	// Name of the hook.
	Name string `json:"name"`
	// Prior is what was printed before anything was changed; post gets it.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Prior *string `json:"prior,omitempty"`
	// ReadPrior, Pre and Post are the last attempts of each.
	// +optional
	ReadPrior *HookAttempt `json:"readPrior,omitempty"`
	// +optional
	Pre *HookAttempt `json:"pre,omitempty"`
	// +optional
	Post *HookAttempt `json:"post,omitempty"`
}

// HookResult is how an attempt ended.
//
// +kubebuilder:validation:Enum=Begun;Succeeded;Failed
type HookResult string

// The results.
const (
	// HookBegun is written before anything is done: it may have been done.
	HookBegun     HookResult = "Begun"
	HookSucceeded HookResult = "Succeeded"
	HookFailed    HookResult = "Failed"
)

// HookAttempt is the last attempt of an action.
type HookAttempt struct {
	// Result of it.
	Result HookResult `json:"result"`
	// On tells the pod and its containers from those before and after a restart.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	On string `json:"on,omitempty"`
	// BegunAt and EndedAt are when.
	BegunAt metav1.MicroTime `json:"begunAt"`
	// +optional
	EndedAt *metav1.MicroTime `json:"endedAt,omitempty"`
	// Attempts so far; Tries are those without success in the same containers.
	Attempts int32 `json:"attempts"`
	// +optional
	Tries int32 `json:"tries,omitempty"`
	// ExitCode of a command that ran to its end.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// HTTPStatus of a request that was answered.
	// +optional
	HTTPStatus int32 `json:"httpStatus,omitempty"`
	// Output is the end of what it printed or answered.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Output string `json:"output,omitempty"`
	// Message says why it failed.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// HookRun is the operator's record of what the hooks of a StoreMaintenance did in one
// store, written before it is done. It has the name of the store: a store has one at
// a time. It outlives the StoreMaintenance, whose deletion thaws, until all is undone.
// What could not be undone keeps it: undo that by hand, then delete it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=hookruns,singular=hookrun,shortName=hkr,categories=salvor,scope=Namespaced
// +kubebuilder:printcolumn:name="Maintenance",type=string,JSONPath=`.spec.maintenance.name`
// +kubebuilder:printcolumn:name="Quiesced",type=string,JSONPath=`.status.conditions[?(@.type=="Quiesced")].status`
// +kubebuilder:printcolumn:name="Undone",type=string,JSONPath=`.status.counts.summary`,description="hooks that are undone / hooks that may have begun, in pods"
// +kubebuilder:printcolumn:name="Stalled",type=string,JSONPath=`.status.conditions[?(@.type=="Stalled")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Undone")].message`
type HookRun struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +required
	Spec HookRunSpec `json:"spec"`
	// +optional
	Status HookRunStatus `json:"status,omitzero"`
}

// HookRunList is a list of HookRuns.
//
// +kubebuilder:object:root=true
type HookRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []HookRun `json:"items"`
}
