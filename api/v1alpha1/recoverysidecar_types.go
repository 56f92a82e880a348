// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RecoverySidecarSpec says which object of which store this is about.
//
// +kubebuilder:validation:XValidation:rule="self.storeRef == oldSelf.storeRef && self.key == oldSelf.key && has(self.operationID) == has(oldSelf.operationID) && (!has(self.operationID) || self.operationID == oldSelf.operationID)",message="all but the approval of a RecoverySidecar's spec is immutable: it names one object; delete it and it comes back for as long as the object is there"
// +kubebuilder:validation:XValidation:rule="!has(self.operationID) || self.key == 'recovery/' + self.operationID",message="operationID must be what follows recovery/ in key; leave it out for an object whose name is no operation's"
type RecoverySidecarSpec struct {
	// StoreRef names the WALStore, in this namespace, whose root holds the object.
	// +required
	StoreRef LocalReference `json:"storeRef"`

	// Key of the object in the root, as it is listed: recovery/<operation id>.
	// +required
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^recovery/[!-~]+$')",message="the key must be recovery/ and the rest of the object's name, in printable ASCII"
	Key string `json:"key"`

	// OperationID is the operation that the key names; absent when the name is not
	// that of an operation.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]+$`
	OperationID string `json:"operationID,omitempty"`

	// Approval of the plan in status.plan. Setting it takes the right to "approve"
	// recoverysidecars, and the approver is who sets it; an admission policy sees to
	// both. It counts for the plan of this hash only: when the state changes, there is
	// another plan.
	// +optional
	Approval *Approval `json:"approval,omitempty"`
}

// Approval is one person's word that a plan may be carried out.
type Approval struct {
	// PlanHash is the hash in status.plan of what was looked at.
	// +required
	// +kubebuilder:validation:MaxLength=71
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	PlanHash string `json:"planHash"`

	// Approver is the user name of who approves. It stands in the audit trail.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Approver string `json:"approver"`
}

// RecoverySidecarStatus is what the object said, what was decided about it and why.
type RecoverySidecarStatus struct {
	// ObservedGeneration is the generation of the spec that the rest is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Observed, Resolved, Audited, Complete, NeedsApproval, Stalled,
	// Reconciling.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Phase is how far the operation had come when it was found: Armed,
	// PartlyApplied, Applied, Confirmed or Decided. It does not follow the recovery;
	// the conditions do.
	// +optional
	Phase string `json:"phase,omitempty"`

	// Writer that armed the operation.
	// +optional
	Writer *WriterStatus `json:"writer,omitempty"`

	// Kind of the operation: checkpoint, load, compaction, rebuild, foreign.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Base is the manifest version that the operation started from.
	// +optional
	Base *int64 `json:"base,omitempty"`

	// Tables of the operation, the first 50 of them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Tables []TableStatus `json:"tables,omitempty"`

	// TableCount counts all tables of the operation.
	// +optional
	TableCount int32 `json:"tableCount,omitempty"`

	// Class is what the worst of its tables shows: Applied, NotApplied, Moved, Contended,
	// Foreign, Buried or Contradicts. One table that may not go forward keeps all of them back.
	// +optional
	Class string `json:"class,omitempty"`

	// Decision about the operation: RollForward, Converge, Abandon, Defer, RollBack,
	// Discard or Refuse.
	// +optional
	Decision string `json:"decision,omitempty"`

	// Reason of the decision, in a word.
	// +optional
	Reason string `json:"reason,omitempty"`

	// Message is the reason in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`

	// Disposition is what the operation needs, in a word: Clean, RollForwardRequired,
	// NeedsCompensation, Blocked or Unknown.
	// +optional
	Disposition string `json:"disposition,omitempty"`

	// Plan is what would be done to undo the operation, if that is what it needs.
	// +optional
	Plan *PlanStatus `json:"plan,omitempty"`

	// Outcome is the manifest entry that decided the operation.
	// +optional
	Outcome *OutcomeStatus `json:"outcome,omitempty"`

	// Audit is the operation's row in the audit trail, read back.
	// +optional
	Audit *AuditRowStatus `json:"audit,omitempty"`

	// Timing of the operation and its recovery.
	// +optional
	Timing *TimingStatus `json:"timing,omitempty"`

	// Attempts counts the passes of recovery that did something or wanted to.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
}

// WriterStatus is one incarnation of a writer.
type WriterStatus struct {
	// ID of the writer across its restarts: its pod's name.
	ID string `json:"id"`
	// Epoch is the number of the epoch under which the operation was armed.
	// +optional
	Epoch int64 `json:"epoch,omitempty"`
	// Process that held that epoch. An epoch is both: its number and its process.
	// +optional
	Process string `json:"process,omitempty"`
}

// TableStatus is what the operation meant to do to one table.
type TableStatus struct {
	// Name of the table.
	Name string `json:"name"`
	// Expected is the version that the operation starts from; empty: it creates the
	// table.
	// +optional
	Expected string `json:"expected,omitempty"`
	// Planned is the version that the operation makes; empty: it drops the table.
	// +optional
	Planned string `json:"planned,omitempty"`
}

// PlanStatus is what undoes an operation, and what it was seen to be for.
type PlanStatus struct {
	// Hash names the plan. The same state has the same plan; another state has another.
	Hash string `json:"hash"`
	// Action in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Action string `json:"action,omitempty"`
	// Reason why the operation cannot go forward.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Tables that get a new newest version, the first 50 of them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Tables []PlannedTableStatus `json:"tables,omitempty"`
	// TableCount counts all of them.
	// +optional
	TableCount int32 `json:"tableCount,omitempty"`
}

// PlannedTableStatus is one table's part of a plan.
type PlannedTableStatus struct {
	// Name of the table.
	Name string `json:"name"`
	// Head is the newest version that readers see; empty: they see no table.
	// +optional
	Head string `json:"head,omitempty"`
	// Restores is the version whose content becomes the newest again; empty: the table
	// goes.
	// +optional
	Restores string `json:"restores,omitempty"`
}

// OutcomeStatus is a manifest entry that decided an operation.
type OutcomeStatus struct {
	// Kind of the entry: publish, abandon or rollback.
	Kind string `json:"kind"`
	// ManifestVersion that holds it.
	// +optional
	ManifestVersion int64 `json:"manifestVersion,omitempty"`
	// PublishedBy says who published it: writer or recovery.
	// +optional
	PublishedBy string `json:"publishedBy,omitempty"`
}

// AuditRowStatus finds one row of the audit trail.
type AuditRowStatus struct {
	// ID is the row's number in the chain.
	ID int64 `json:"id"`
	// Number of the object that holds it.
	// +optional
	Number int64 `json:"number,omitempty"`
	// Hash of the row.
	// +optional
	Hash string `json:"hash,omitempty"`
}

// TimingStatus says when.
type TimingStatus struct {
	// StartedAt is when the writer armed the operation, by the writer's clock.
	// +optional
	StartedAt *metav1.MicroTime `json:"startedAt,omitempty"`
	// DetectedAt is when the operator first saw that the operation was left behind.
	// +optional
	DetectedAt *metav1.MicroTime `json:"detectedAt,omitempty"`
	// HealedAt is when the outcome had been read back.
	// +optional
	HealedAt *metav1.MicroTime `json:"healedAt,omitempty"`
}

// RecoverySidecar is a window on one object under recovery/ in a store's root: an
// operation that its writer announced and may not have finished. The operator
// makes it, brings it back when it is deleted, and removes it some time after it
// is complete. Applying one by hand makes the operator look at that object now.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=recoverysidecars,singular=recoverysidecar,shortName=rsc,categories=salvor,scope=Namespaced
// +kubebuilder:selectablefield:JSONPath=`.spec.storeRef.name`
// +kubebuilder:printcolumn:name="Store",type=string,JSONPath=`.spec.storeRef.name`
// +kubebuilder:printcolumn:name="Writer",type=string,JSONPath=`.status.writer.id`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`,description="how far the operation had come when it was found"
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.status.decision`
// +kubebuilder:printcolumn:name="Complete",type=string,JSONPath=`.status.conditions[?(@.type=="Complete")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="Needs-Approval",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="NeedsApproval")].status`
// +kubebuilder:printcolumn:name="Stalled",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Stalled")].status`
// +kubebuilder:printcolumn:name="Outcome",type=string,priority=1,JSONPath=`.status.outcome.kind`
// +kubebuilder:printcolumn:name="By",type=string,priority=1,JSONPath=`.status.outcome.publishedBy`
// +kubebuilder:printcolumn:name="Manifest",type=integer,priority=1,JSONPath=`.status.outcome.manifestVersion`
// +kubebuilder:printcolumn:name="Row",type=integer,priority=1,JSONPath=`.status.audit.id`
type RecoverySidecar struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +required
	Spec RecoverySidecarSpec `json:"spec"`
	// +optional
	Status RecoverySidecarStatus `json:"status,omitzero"`
}

// RecoverySidecarList is a list of RecoverySidecars.
//
// +kubebuilder:object:root=true
type RecoverySidecarList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []RecoverySidecar `json:"items"`
}
