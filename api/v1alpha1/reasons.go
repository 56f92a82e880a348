// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Reasons of any condition.
const (
	ReasonNotObserved = "NotObserved"
	ReasonProgressing = "Progressing"
	ReasonSettled     = "Settled"
	ReasonSuspended   = "Suspended"
	ReasonInternal    = "InternalError"
)

// Reasons of a WALStore's conditions.
const (
	ReasonHealthy = "Healthy"

	ReasonRootClaimed           = "Claimed"
	ReasonRootNotAllowed        = "RootNotAllowed"
	ReasonCredentialsMissing    = "CredentialsMissing"
	ReasonCredentialsInvalid    = "CredentialsInvalid"
	ReasonServiceAccountMissing = "ServiceAccountMissing"
	ReasonTokenForbidden        = "TokenForbidden"
	ReasonAccessDenied          = "AccessDenied"
	ReasonNoSuchBucket          = "NoSuchBucket"
	ReasonRootUnreachable       = "RootUnreachable"
	ReasonRootClaimedByAnother  = "RootClaimedByAnother"
	ReasonRootEmptied           = "RootEmptied"
	ReasonRootSwapped           = "RootSwapped"
	ReasonRootRestored          = "RootRestored"
	ReasonRootUnreadable        = "RootUnreadable"
	ReasonRootNewerFormat       = "RootNewerFormat"

	ReasonProbePassed                  = "ProbePassed"
	ReasonProbeFailed                  = "ProbeFailed"
	ReasonConditionalWritesNotEnforced = "ConditionalWritesNotEnforced"

	ReasonWritersStreaming    = "WritersStreaming"
	ReasonWritersNotStreaming = "WritersNotStreaming"
	ReasonPodsMissing         = "PodsMissing"
	ReasonLabelMissing        = "LabelMissing"
	ReasonStatefulSetMissing  = "StatefulSetMissing"
	ReasonForeignObject       = "ForeignObject"
	ReasonWorkloadRejected    = "WorkloadRejected"

	ReasonAuditChainGoesOn = "ChainGoesOn"
	ReasonAuditKeyMissing  = "AuditKeyMissing"
	ReasonAuditKeyInvalid  = "AuditKeyInvalid"
	ReasonAuditChainCut    = "AuditChainCut"
	ReasonAuditChainBroken = "AuditChainBroken"
	ReasonAuditUnreadable  = "AuditUnreadable"

	ReasonOperationsPending = "OperationsPending"
	ReasonNothingPending    = "NothingPending"
	ReasonListingFailed     = "ListingFailed"
	ReasonRecoveryStalled   = "RecoveryStalled"
	ReasonApprovalPending   = "ApprovalPending"

	ReasonLogPoisoned      = "LogPoisoned"
	ReasonLogsHealthy      = "LogsHealthy"
	ReasonVolumeFull       = "VolumeFull"
	ReasonVolumeNearlyFull = "VolumeNearlyFull"
	ReasonRestartsSpent    = "RestartsSpent"
	ReasonRestartsOff      = "RestartsOff"
	ReasonEvictionRefused  = "EvictionRefused"
	ReasonRestartWaits     = "RestartWaits"
	ReasonPodRestarting    = "PodRestarting"

	ReasonWindowsInvalid = "WindowsInvalid"
	ReasonWindowClosed   = "WindowClosed"

	ReasonLocked    = "Locked"
	ReasonNotLocked = "NotLocked"

	ReasonPodDraining    = "PodDraining"
	ReasonPodCannotDrain = "PodCannotDrain"
	ReasonPodReplacing   = "PodReplacing"
	ReasonPodNotReady    = "PodNotReady"
	ReasonRolloutStopped = "RolloutStopped"
	ReasonPodRemoving    = "PodRemoving"
	ReasonWriterFencing  = "WriterFencing"
	ReasonNodeLeaving    = "NodeLeaving"
	ReasonWorkloadAsIs   = "WorkloadAsIs"

	ReasonBudgetAllows   = "BudgetAllows"
	ReasonBudgetNeverMet = "BudgetNeverMet"
	ReasonBudgetsClash   = "BudgetsClash"

	ReasonManyStreamsLost = "ManyStreamsLost"
	ReasonStreamsHealthy  = "StreamsHealthy"
)

// Reasons of a RecoverySidecar's conditions. The second block is what the library
// says of a decision, in its words.
const (
	ReasonSidecarRead     = "SidecarRead"
	ReasonSidecarGone     = "SidecarGone"
	ReasonStoreMissing    = "StoreMissing"
	ReasonStoreNotReady   = "StoreNotReady"
	ReasonRequestFailed   = "RequestFailed"
	ReasonNotDecided      = "NotDecided"
	ReasonAlreadyResolved = "AlreadyResolved"
	ReasonRowReadBack     = "RowReadBack"
	ReasonRowMissing      = "RowMissing"
	ReasonNoRowNeeded     = "NoRowNeeded"
	ReasonHealed          = "Healed"
	ReasonPending         = "Pending"
	ReasonNotNeeded       = "NotNeeded"

	ReasonPublished         = "Published"
	ReasonAbandoned         = "Abandoned"
	ReasonConfirmed         = "Confirmed"
	ReasonEffectsComplete   = "EffectsComplete"
	ReasonNotConfirmed      = "NotConfirmed"
	ReasonEffectsIncomplete = "EffectsIncomplete"
	ReasonPinsMoved         = "PinsMoved"
	ReasonWriterLive        = "WriterLive"
	ReasonVisibleEffects    = "VisibleEffects"
	ReasonBelowLowWater     = "BelowLowWater"
	ReasonForeignStore      = "ForeignStore"
	ReasonUnknownKind       = "UnknownKind"
	ReasonPlanOnly          = "PlanOnly"
	ReasonUnknownFormat     = "UnknownFormat"
	ReasonForeignCommit     = "ForeignCommit"
	ReasonBuried            = "Buried"
	ReasonRestoring         = "Restoring"
	ReasonRolledBack        = "RolledBack"
	ReasonContradiction     = "Contradiction"
	ReasonMalformed         = "Malformed"
	ReasonNewerFormat       = "NewerFormat"
	ReasonContention        = "Contention"
	ReasonStoreFrozen       = "StoreFrozen"
	ReasonUnknownOutcome    = "UnknownOutcome"
	ReasonDemoted           = "Demoted"
	ReasonPromoted          = "Promoted"
	ReasonNotAgreed         = "NotAgreed"
)

// Reasons of a StoreMaintenance's conditions.
const (
	ReasonAccepted         = "Accepted"
	ReasonUntilPassed      = "UntilPassed"
	ReasonNoStores         = "NoStores"
	ReasonTooManyStores    = "TooManyStores"
	ReasonWaitingForLock   = "WaitingForLock"
	ReasonWritersDraining  = "WritersDraining"
	ReasonWritersDrained   = "WritersDrained"
	ReasonFrozen           = "Frozen"
	ReasonFrozenIncomplete = "FrozenIncomplete"
	ReasonLockLost         = "LockLost"
	ReasonThawing          = "Thawing"
	ReasonThawed           = "Thawed"
	ReasonExpired          = "Expired"
	ReasonDrainTimedOut    = "DrainTimedOut"
	ReasonNotHeldYet       = "NotHeldYet"
	ReasonNotReleased      = "NotReleased"

	ReasonTooManyPods      = "TooManyPods"
	ReasonHookNotPermitted = "HookNotPermitted"
	ReasonHookFailed       = "HookFailed"
	ReasonHooksUndoing     = "HooksUndoing"
	ReasonHooksNotUndone   = "HooksNotUndone"
)

// Reasons of a HookRun's conditions.
const (
	ReasonQuiescing = "Quiescing"
	ReasonQuiesced  = "Quiesced"
	ReasonUndone    = "Undone"
	ReasonHeldQuiet = "HeldQuiet"
)

// Explanation is what a reason means, and what a person does about it.
type Explanation struct {
	Reason string
	// Means is a sentence.
	Means string
	// Next is what to do, a sentence; empty when there is nothing to do.
	Next string
}

// Explain returns the explanation of a reason.
func Explain(reason string) (Explanation, bool) {
	for _, e := range Explanations {
		if e.Reason == reason {
			return e, true
		}
	}
	return Explanation{}, false
}

// Explanations lists every reason, in the order of the constants above. Runbooks,
// alerts and the command line take their words from here.
var Explanations = []Explanation{
	{ReasonNotObserved, "Nobody has looked yet.", ""},
	{ReasonProgressing, "The operator is at work on this.", ""},
	{ReasonSettled, "There is nothing to do.", ""},
	{ReasonSuspended, "Somebody has suspended the store until a time (spec.suspend says who and why): nothing is recovered, fenced or published.", "Nothing: it ends by itself; or `kubectl salvor resume` when the work that needed it is done."},
	{ReasonInternal, "The operator failed in a way that it does not know.", "Read the operator's log for this object; it is tried again."},

	{ReasonHealthy, "The root is ours, the writers report, and a crash of any of them heals.", ""},

	{ReasonRootClaimed, "The root is claimed by this WALStore, and it is the root that it was before.", ""},
	{ReasonRootNotAllowed, "This operator takes no root of this kind.", "Use an s3://, gs:// or azblob:// root, or start the operator with --allow-local-roots on a machine where that is meant."},
	{ReasonCredentialsMissing, "The root has no credentials, or the Secret with them is not there or lacks an entry.", "Make the Secret that spec.root.credentials names, in this namespace, with the entries in the message."},
	{ReasonCredentialsInvalid, "The Secret with the root's credentials holds something that cannot be used, or that contradicts spec.root.", "Correct the entry that the message names; a root on Google Cloud Storage takes the JSON key of a service account and no other kind."},
	{ReasonServiceAccountMissing, "The ServiceAccount whose tokens open the root is not there.", "Make the ServiceAccount that spec.root.credentials.serviceAccount names, in this namespace; it is tried again."},
	{ReasonTokenForbidden, "The operator may not ask for tokens of the ServiceAccount that spec.root.credentials names.", "Run the command in the message: it binds the ClusterRole salvor-token-requester in this namespace."},
	{ReasonAccessDenied, "The object store does not know these credentials, or refuses what they ask for.", "Correct the Secret that spec.root.credentials names, or whom the cloud trusts for its tokens, and grant get, list, put and delete on the root."},
	{ReasonNoSuchBucket, "The bucket is not there.", "Make the bucket, or correct spec.root.uri."},
	{ReasonRootUnreachable, "The object store does not answer.", "Check spec.root.endpoint, its certificates, the network policies and the object store itself; it is tried again."},
	{ReasonRootClaimedByAnother, "Another WALStore, perhaps in another cluster, operates this root; this one does nothing.", "Give this WALStore a root of its own, or move the claim with `salvor manifest adopt`."},
	{ReasonRootEmptied, "The root held a store and holds none now.", "Restore its objects from a copy or from the bucket's versions, then run `salvor manifest adopt`; nothing is written before."},
	{ReasonRootSwapped, "The root holds another store than the one that status.root.uid names.", "Point spec.root.uri back to the right root; make a new WALStore for the other one."},
	{ReasonRootRestored, "The root's manifest ends before, or differs from, the one that status.root remembers.", "If the root was restored from a copy on purpose, stop the writers and run `salvor manifest adopt`; else restore what is missing."},
	{ReasonRootUnreadable, "An object that says what the root is cannot be read.", "Restore the object that the message names from a copy or from the bucket's versions."},
	{ReasonRootNewerFormat, "The root was written by a newer salvor.", "Upgrade the operator to the version of the writers; nothing was changed."},

	{ReasonProbePassed, "The object store refused a second creation of one name, also of two at once.", ""},
	{ReasonProbeFailed, "The probe of the object store got no answer.", "See the condition RootClaimed; the probe is tried again."},
	{ReasonConditionalWritesNotEnforced, "The object store overwrites an object although only its creation was asked for.", "Do not use it: two writers would overwrite each other. Remove a proxy that drops If-None-Match, upgrade the server, or use another."},

	{ReasonWritersStreaming, "Every pod that is expected reports its status.", ""},
	{ReasonWritersNotStreaming, "Some pods are there and do not report, or under an epoch that is over.", "Look at the pods' logs and at the network policies on the control port; pod and node events are watched meanwhile."},
	{ReasonPodsMissing, "Fewer pods carry the store's label than the workload is meant to have.", "Look at the StatefulSet and its events."},
	{ReasonLabelMissing, "The StatefulSet's pod template lacks the label that names this WALStore.", "Apply the patch in the message."},
	{ReasonStatefulSetMissing, "The StatefulSet that spec.workload names is not there.", "Make it, or correct spec.workload.statefulSetName."},
	{ReasonForeignObject, "An object with the name that the managed store needs is there and is not ours.", "Rename or delete it, or give the WALStore another name; it was not touched."},
	{ReasonWorkloadRejected, "The API server refused the managed store's objects.", "Correct what the message names."},

	{ReasonAuditChainGoesOn, "The chain goes on from the head that status.audit remembers, and rows can be signed.", ""},
	{ReasonAuditKeyMissing, "The Secret with the audit keys is not there, or names no current key.", "Make the Secret that spec.audit.keySecretRef names, in this namespace, with a key under an id and the id under current."},
	{ReasonAuditKeyInvalid, "The audit keys cannot be used.", "Correct the entry that the message names; a key is at least 16 random bytes."},
	{ReasonAuditChainCut, "The audit chain ends before a head that was seen.", "Somebody removed rows: keep the bucket as it is, run `salvor audit verify`, and restore the objects from a copy."},
	{ReasonAuditChainBroken, "A row of the audit chain does not follow from the one before, or its signature is wrong.", "Keep the bucket as it is and run `salvor audit verify`, which names the first bad row."},
	{ReasonAuditUnreadable, "The audit chain could not be read.", "See the condition RootClaimed; it is tried again."},

	{ReasonOperationsPending, "Operations of writers that are gone are being recovered.", ""},
	{ReasonNothingPending, "No operation waits for recovery.", ""},
	{ReasonListingFailed, "The pending operations could not be listed, so nobody can say that there are none.", "See the condition RootClaimed; it is tried again."},
	{ReasonRecoveryStalled, "An operation cannot be recovered until a person does something; other operations go on.", "Run `kubectl get rsc -o wide` and follow the message of the one that is Stalled."},
	{ReasonApprovalPending, "An operation can only be undone, and that needs approval.", "Run `kubectl get rsc -o wide` and look at the one that needs approval."},

	{ReasonLogPoisoned, "A writer's log failed, and the writer does not say of what kind the failure is, so the operator does not restart it; it takes no more writes until its log was opened again.", "Look at the disk of the pod that the message names, then restart the pod: opening the log reads the disk."},
	{ReasonLogsHealthy, "No writer that reports has a failed log.", ""},
	{ReasonVolumeFull, "A writer's log failed because its volume is full. A restart makes no room, so there is none; when there is room again the operator restarts the pod.", "Make the PersistentVolumeClaim that the message names larger, by the command in the message."},
	{ReasonVolumeNearlyFull, "A writer's volume is nearly full; when it is full, its log fails.", "Make the PersistentVolumeClaim that the message names larger."},
	{ReasonRestartsSpent, "A pod was restarted three times within an hour (or the store's pods fifty times), and its log failed again.", "Look at the volume and the node of the pod that the message names, then delete the pod; the operator itself tries again at the time in the message."},
	{ReasonRestartsOff, "A writer's log failed, and spec.recovery.restartPoisoned is Never.", "Look at the disk of the pod that the message names, then delete the pod: opening the log reads the disk."},
	{ReasonEvictionRefused, "A pod whose log failed is to be restarted, and its eviction was refused; it is tried again.", "If it stays so: let the disruption budget that the message names allow it (maxUnavailable: 1, unhealthyPodEvictionPolicy: AlwaysAllow), or delete the pod."},
	{ReasonRestartWaits, "A pod whose log failed is restarted when what it has begun is settled, and when no other pod of the store is being restarted.", ""},
	{ReasonPodRestarting, "A pod whose log failed is being restarted: opening the log reads the disk.", ""},

	{ReasonWindowsInvalid, "One of spec.windows cannot be read; until it is corrected no work is done that may wait.", "Correct the window that the message names."},
	{ReasonWindowClosed, "This may wait, and waits for the next of the store's windows.", "Nothing; or approve it, which does not wait."},

	{ReasonLocked, "A write lock holds the store: writers park whoever comes to write, and reads go on.", "Nothing, or thaw it: delete the StoreMaintenance that the message names, or `salvor manifest thaw`."},
	{ReasonNotLocked, "No write lock holds the store.", ""},

	{ReasonPodDraining, "A pod was asked to take no more writes and to publish what it has acknowledged, before it is replaced or removed.", ""},
	{ReasonPodCannotDrain, "A pod that is to be removed cannot show that the root has everything that it has acknowledged; it stays until it can.", "Look at what the message says that it waits for: mostly the object store, or the pod's own start; or set spec.managed.replicas back."},
	{ReasonPodReplacing, "A pod that has drained is being replaced by one of the new template.", ""},
	{ReasonPodNotReady, "Changes of the pods wait until every other pod is ready, reports, and has nothing pending.", ""},
	{ReasonRolloutStopped, "A pod of the new template has not come up, and no other pod is touched.", "Look at the pod that the message names; correct spec.managed, or set it back: the pod is replaced at once."},
	{ReasonPodRemoving, "A pod that has drained is being removed; its volume stays.", ""},
	{ReasonWriterFencing, "The epoch of a writer whose pod was removed is being ended.", ""},
	{ReasonNodeLeaving, "The node of a pod is cordoned or about to go, so the pod publishes every second: an eviction then takes a moment.", "Nothing; drain the node, or uncordon it."},
	{ReasonWorkloadAsIs, "No pod is being drained, replaced or removed.", ""},

	{ReasonBudgetAllows, "No disruption budget keeps a node with one of the pods from being drained.", ""},
	{ReasonBudgetNeverMet, "A disruption budget allows no pod of the store to be evicted, ever: draining its node would wait for ever.", "Give the budget that the message names maxUnavailable: 1; a store's pod that is evicted publishes first what it has acknowledged."},
	{ReasonBudgetsClash, "More than one disruption budget covers the store's pods, and Kubernetes then refuses every eviction.", "Delete the one that the message does not call ours, or narrow its selector."},

	{ReasonManyStreamsLost, "More than a fifth of the status streams, and at least five, broke within a second.", "Check the operator's own network; meanwhile only writers whose pod or node shows death are fenced."},
	{ReasonStreamsHealthy, "The operator sees its writers.", ""},

	{ReasonSidecarRead, "The object was read and the store looked at.", ""},
	{ReasonSidecarGone, "The object is not there.", ""},
	{ReasonStoreMissing, "The WALStore that spec.storeRef names is not there.", "Delete this RecoverySidecar, or make the WALStore; no object was touched."},
	{ReasonStoreNotReady, "The store cannot be worked on now.", "See the conditions of the WALStore."},
	{ReasonRequestFailed, "A request failed or its answer was lost; the sidecar is kept and looked at again.", ""},
	{ReasonNotDecided, "No entry in the manifest decides the operation yet.", ""},
	{ReasonAlreadyResolved, "Somebody finished the operation before: its object is gone.", ""},
	{ReasonRowReadBack, "The operation's row was read back from the audit trail.", ""},
	{ReasonRowMissing, "The operation has no row in the audit trail yet.", ""},
	{ReasonNoRowNeeded, "Nothing happened that the audit trail has to record.", ""},
	{ReasonHealed, "The outcome is published, audited and cleaned up.", ""},
	{ReasonPending, "Something is left to do.", ""},
	{ReasonNotNeeded, "Nothing here needs a person's approval.", ""},

	{ReasonPublished, "A manifest entry publishes the operation.", ""},
	{ReasonAbandoned, "A manifest entry abandons the operation; nothing of it was ever visible.", ""},
	{ReasonConfirmed, "Every table version is there and confirmed, so the operation goes forward.", ""},
	{ReasonEffectsComplete, "Every table version is there, so the operation goes forward.", ""},
	{ReasonNotConfirmed, "The writer died before it confirmed its table versions; nobody could see them, so they are abandoned.", ""},
	{ReasonEffectsIncomplete, "The writer died before every table version was there; nobody could see them, so they are abandoned.", ""},
	{ReasonPinsMoved, "Another operation moved a table meanwhile; this one is abandoned.", ""},
	{ReasonWriterLive, "The writer is alive and has this operation; it is left alone.", ""},
	{ReasonVisibleEffects, "Readers can see what the operation wrote, so closing it means undoing it.", "Look at the plan in its status, and approve it: kubectl salvor approve."},
	{ReasonBelowLowWater, "The object came back after its operation was finished and forgotten; it is removed.", ""},
	{ReasonForeignStore, "The object was written for another store.", "Remove the object if the root was copied, or restore the right root."},
	{ReasonUnknownKind, "This salvor does not know this kind of operation.", "Upgrade salvor; the object is kept."},
	{ReasonPlanOnly, "The store's recovery mode is Plan: what would be done is said, and nothing is.", "Set spec.recovery.mode of the WALStore to Automatic, and it is done."},
	{ReasonUnknownFormat, "The operation wrote to tables of a format that this salvor was not built with.", "Use a salvor that was; the object is kept."},
	{ReasonForeignCommit, "Somebody else has written to a table of the operation, and the manifest does not name it.", "Find out whose version the message names; register it or remove it, and the next pass goes on."},
	{ReasonBuried, "Somebody else has written above the operation in one of its tables, so that it can be neither published nor undone without theirs.", "Decide whose version stays, and take the other one out by the table's own tools; the next pass goes on."},
	{ReasonRestoring, "The roll-back of the operation was decided and has not ended; it is gone on with.", ""},
	{ReasonRolledBack, "What readers could see of the operation was undone; the manifest names the restored versions.", ""},
	{ReasonContradiction, "A table disagrees with what the writer confirmed.", "Restore the object that the message names from a copy or from the bucket's versions; the next pass goes on."},
	{ReasonMalformed, "The object cannot be read as a sidecar, or its name is not its operation's.", "Restore it from a copy, or delete it when its writer is known to have finished; other operations go on."},
	{ReasonNewerFormat, "The object was written by a newer salvor.", "Upgrade salvor; the object is kept."},
	{ReasonContention, "Other publications won every race of this pass; the next one goes on.", ""},
	{ReasonStoreFrozen, "The store is frozen for maintenance; the operation is published when the lock has ended.", "Nothing, or release the lock: salvor manifest thaw."},
	{ReasonUnknownOutcome, "An answer stayed lost, so the outcome is not known; it is read again.", ""},
	{ReasonDemoted, "A person has closed what the writer left; the entry and the audit row name them.", ""},
	{ReasonPromoted, "A person has published what nobody had confirmed; the entry and the audit row name them.", ""},
	{ReasonNotAgreed, "What a person agreed to is not what is there now; nothing was done.", "Look again, `salvor recover --demote` or `--promote` without `--yes`, and agree to that."},

	{ReasonAccepted, "The maintenance can be worked on.", ""},
	{ReasonUntilPassed, "spec.until was over before anything was frozen.", "Make another StoreMaintenance with a later until."},
	{ReasonNoStores, "No WALStore of this namespace is meant.", "Correct the labels of the WALStores, or make another StoreMaintenance with another selector."},
	{ReasonTooManyStores, "The selector matches more WALStores than one maintenance takes.", "Split it: at most 64 stores each."},
	{ReasonWaitingForLock, "A store is held by somebody else, cannot be reached, or waits for one in front of it.", ""},
	{ReasonWritersDraining, "Writers finish what they have in hand; the pods that have not acknowledged are in status.stores.", ""},
	{ReasonWritersDrained, "Every writer has acknowledged, or is gone.", ""},
	{ReasonFrozen, "Every store is frozen and every writer has acknowledged: now is the time for the work.", ""},
	{ReasonFrozenIncomplete, "Every store is frozen, but some pods have not acknowledged: nothing of theirs is published, yet they may have taken writes into their own logs.", "Look at the pods in status.stores; thaw, or go on if that does no harm."},
	{ReasonLockLost, "A lock of this maintenance has ended while others are held: thawed by hand, or its time was over.", "Delete this StoreMaintenance; make another if the work is not done."},
	{ReasonThawing, "The locks are being given back.", ""},
	{ReasonThawed, "Every lock of this maintenance was released.", ""},
	{ReasonExpired, "The time of this maintenance was over.", ""},
	{ReasonDrainTimedOut, "Some pods did not drain in time, and everything was released.", "Look at the pods in status.stores, then make another StoreMaintenance."},
	{ReasonNotHeldYet, "Not every store is frozen yet.", ""},
	{ReasonNotReleased, "The maintenance is not over.", ""},

	{ReasonTooManyPods, "A store has more pods than hooks can run in.", "Freeze it without hooks, or give part of its pods a WALStore of their own."},
	{ReasonHookNotPermitted, "A hook of kind exec is asked for, and the operator may not run commands in pods of this namespace.", "Run the command in the message: it binds the ClusterRole salvor-hook-runner in this namespace; the maintenance goes on by itself."},
	{ReasonHookFailed, "A hook has failed as often as it may.", "Look at status.pods of the HookRun with the store's name: it has each hook's output; correct the hook in a new StoreMaintenance."},
	{ReasonHooksUndoing, "The post hooks undo what the pre hooks did; the lock is released after that.", "Nothing; if it takes long, status.pods of the HookRun with the store's name says what it waits for."},
	{ReasonHooksNotUndone, "What a pre hook did could not be undone in time.", "Do by hand what the post hooks that the message names do, with status.pods[].hooks[].prior of the HookRun, then delete the HookRun."},

	{ReasonQuiescing, "The pre hooks are being run.", ""},
	{ReasonQuiesced, "The pre hooks have run in every pod that runs.", ""},
	{ReasonUndone, "Nothing is left to undo.", ""},
	{ReasonHeldQuiet, "What the pre hooks did stays until the thaw.", ""},
}
