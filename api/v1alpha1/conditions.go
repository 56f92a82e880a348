// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// The conditions that every kind has. Reconciling and Stalled are True while
// something is abnormal, so that kstatus, Flux and Argo CD read them.
const (
	// ConditionReady: the store is healthy and watched; a crash of its writers heals.
	ConditionReady = "Ready"
	// ConditionReconciling: the operator is at work and the rest may change soon.
	ConditionReconciling = "Reconciling"
	// ConditionStalled: nothing will change until a person does something.
	ConditionStalled = "Stalled"
)

// The conditions of a WALStore beside those.
const (
	// ConditionRootClaimed: the root is this WALStore's, and is the one it was before.
	ConditionRootClaimed = "RootClaimed"
	// ConditionConditionalWritesVerified: the object store was seen to refuse a
	// second creation of one name. Nothing is published before that.
	ConditionConditionalWritesVerified = "ConditionalWritesVerified"
	// ConditionWorkloadAvailable: every pod that is expected is there and reports.
	ConditionWorkloadAvailable = "WorkloadAvailable"
	// ConditionAuditReady: rows can be signed, and the chain goes on from the head
	// that the status remembers.
	ConditionAuditReady = "AuditReady"
	// ConditionRecovering: operations of writers that are gone are being recovered.
	ConditionRecovering = "Recovering"
	// ConditionPoisoned: a writer's log failed and takes no more writes.
	ConditionPoisoned = "Poisoned"
	// ConditionFrozen: a write lock holds the store; reads go on.
	ConditionFrozen = "Frozen"
	// ConditionChanging: pods of a managed store are being drained, replaced or removed,
	// or pods make ready to leave their nodes.
	ConditionChanging = "Changing"
	// ConditionDrainable: a node with a pod of the store can be drained: no disruption
	// budget stands in the way for ever.
	ConditionDrainable = "Drainable"
	// ConditionIsolated: so many streams broke at once that the operator doubts
	// itself first, and fences only writers whose pod or node shows death.
	ConditionIsolated = "Isolated"
)

// The conditions of a RecoverySidecar beside Reconciling and Stalled, in the
// order of the walk.
const (
	// ConditionObserved: the object was read and the store looked at.
	ConditionObserved = "Observed"
	// ConditionResolved: an entry in the manifest decides the operation.
	ConditionResolved = "Resolved"
	// ConditionAudited: the operation's row was read back from the audit trail.
	ConditionAudited = "Audited"
	// ConditionComplete: nothing is left to do; the object is gone.
	ConditionComplete = "Complete"
	// ConditionNeedsApproval: what is to be done may not be done automatically.
	ConditionNeedsApproval = "NeedsApproval"
)

// The conditions of a StoreMaintenance beside Reconciling and Stalled.
const (
	// ConditionAccepted: it can be worked on; one that is not is Rejected, for good.
	ConditionAccepted = "Accepted"
	// ConditionDraining: writers finish what they have in hand.
	ConditionDraining = "Draining"
	// ConditionHeld: every store is frozen. Now is the time for the work.
	ConditionHeld = "Held"
	// ConditionReleased: it is over, for good; every store takes writes again as far
	// as this maintenance goes.
	ConditionReleased = "Released"
)

// The conditions of a HookRun beside Reconciling and Stalled.
const (
	// ConditionQuiesced: the pre hooks have run in every pod that runs.
	ConditionQuiesced = "Quiesced"
	// ConditionUndone: nothing that a pre hook may have begun is left to undo.
	ConditionUndone = "Undone"
)

// HookRunConditions are the conditions of a HookRun, all of which are written at
// first sight.
var HookRunConditions = []string{ConditionQuiesced, ConditionUndone, ConditionReconciling, ConditionStalled}

// StoreMaintenanceConditions are the conditions of a StoreMaintenance, all of which
// are written at first sight.
var StoreMaintenanceConditions = []string{
	ConditionAccepted, ConditionDraining, ConditionHeld, ConditionReleased, ConditionReconciling, ConditionStalled,
}

// WALStoreConditions are the conditions of a WALStore, all of which are written
// at first sight.
var WALStoreConditions = []string{
	ConditionReady, ConditionRootClaimed, ConditionConditionalWritesVerified, ConditionWorkloadAvailable,
	ConditionAuditReady, ConditionRecovering, ConditionPoisoned, ConditionFrozen, ConditionIsolated,
	ConditionChanging, ConditionDrainable, ConditionReconciling, ConditionStalled,
}

// RecoverySidecarConditions are the conditions of a RecoverySidecar, all of which
// are written at first sight.
var RecoverySidecarConditions = []string{
	ConditionObserved, ConditionResolved, ConditionAudited, ConditionComplete,
	ConditionNeedsApproval, ConditionReconciling, ConditionStalled,
}
