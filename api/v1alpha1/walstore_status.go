// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WALStoreStatus is what was observed last. The manifest in the root is the truth.
type WALStoreStatus struct {
	// ObservedGeneration is the generation of the spec that the rest of this status
	// is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, RootClaimed,
	// ConditionalWritesVerified, WorkloadAvailable, AuditReady, Recovering,
	// Poisoned, Frozen, Isolated, Changing, Drainable.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Root is the store that was found in the root, and how far it had come.
	// +optional
	Root *RootStatus `json:"root,omitempty"`

	// Audit is the newest head of the audit chain that was ever seen. It lives in
	// another domain of trust than the root: a chain that ends before it was cut.
	// +optional
	Audit *AuditStatus `json:"audit,omitempty"`

	// Writers are the pods that write the root.
	// +optional
	Writers *WritersStatus `json:"writers,omitempty"`

	// Lock is the write lock that holds the store; absent: none does.
	// +optional
	Lock *LockStatus `json:"lock,omitempty"`

	// Window is whether work that may wait is done now; absent: there are no windows.
	// +optional
	Window *WindowStatus `json:"window,omitempty"`

	// PendingSidecars is the number of operations that wait for their writer or for
	// recovery; absent while nobody has looked.
	// +optional
	PendingSidecars *int32 `json:"pendingSidecars,omitempty"`

	// LastRecovery is the newest operation that recovery finished.
	// +optional
	LastRecovery *LastRecovery `json:"lastRecovery,omitempty"`

	// Restarts are those of pods whose logs had failed, oldest first. Each is written down
	// before the pod is evicted, and the budget is counted over them; those older than an
	// hour go when there is a new one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Restarts []PodRestart `json:"restarts,omitempty"`
}

// PodRestart is one restart of a pod whose log had failed.
type PodRestart struct {
	// Pod by its name.
	Pod string `json:"pod"`
	// Process whose log had failed: one process is restarted once.
	Process string `json:"process"`
	// Cause: IO, ReadOnlyFilesystem, DiskFull (and there was room again), Misuse or Other.
	// +optional
	Cause string `json:"cause,omitempty"`
	// Time at which it was decided.
	Time metav1.Time `json:"time"`
}

// RootStatus identifies a root and remembers its manifest, so that a root that was
// emptied, swapped or restored from an older copy is noticed.
type RootStatus struct {
	// UID of the store, from its identity object.
	UID string `json:"uid"`
	// Generation counts adoptions of the root.
	// +optional
	Generation int64 `json:"generation,omitempty"`
	// ManifestVersion is the newest manifest version that was seen.
	// +optional
	ManifestVersion int64 `json:"manifestVersion,omitempty"`
	// ManifestDigest of that version.
	// +optional
	ManifestDigest string `json:"manifestDigest,omitempty"`
}

// LockStatus is a write lock in a store's manifest.
type LockStatus struct {
	// Owner of the lock: maintenance/<name>/<uid> for a StoreMaintenance.
	Owner string `json:"owner"`
	// Mode: Draining, or Frozen.
	Mode string `json:"mode"`
	// Reason that its owner gave.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// Since and Until by the object store's clock.
	Since metav1.Time `json:"since"`
	Until metav1.Time `json:"until"`
	// Version of the manifest at which it was taken.
	// +optional
	Version int64 `json:"version,omitempty"`
}

// WindowStatus is whether one of spec.windows is open.
type WindowStatus struct {
	// Open: work that may wait is done now.
	// +optional
	Open bool `json:"open"`
	// Until is when the open window closes.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
	// Next is when the next one opens.
	// +optional
	Next *metav1.Time `json:"next,omitempty"`
}

// AuditStatus is a remembered head of the audit chain.
type AuditStatus struct {
	// HeadNumber is the number of the chain's newest object.
	// +optional
	HeadNumber int64 `json:"headNumber,omitempty"`
	// HeadHash is the hash of the last row in it.
	// +optional
	HeadHash string `json:"headHash,omitempty"`
}

// WritersStatus counts writers.
type WritersStatus struct {
	// Expected is how many pods the workload is meant to have.
	// +optional
	Expected int32 `json:"expected"`
	// Registered is how many writers hold an epoch in the manifest.
	// +optional
	Registered int32 `json:"registered"`
	// Streaming is how many of the expected pods report their status under the
	// process and epoch that the manifest has registered.
	// +optional
	Streaming int32 `json:"streaming"`
	// Summary is streaming/expected, for the column of kubectl get.
	// +optional
	Summary string `json:"summary,omitempty"`
	// Logs are the write-ahead logs of the first 50 pods that report, as they were when
	// this status was written last: they move all the time, and no status is written for
	// that. `kubectl salvor status` asks the pods.
	// +optional
	// +listType=map
	// +listMapKey=pod
	// +kubebuilder:validation:MaxItems=50
	Logs []WriterLog `json:"logs,omitempty"`
}

// WriterLog is the write-ahead log of one pod, by positions.
type WriterLog struct {
	// Pod by its name.
	Pod string `json:"pod"`
	// Oldest is the position with which the kept part begins.
	// +optional
	Oldest int64 `json:"oldest,omitempty"`
	// Published is the newest position that the root covers, Durable the newest that is
	// safe on the pod's own volume, Next the one that comes next.
	// +optional
	Published int64 `json:"published,omitempty"`
	// +optional
	Durable int64 `json:"durable,omitempty"`
	// +optional
	Next int64 `json:"next,omitempty"`
	// SegmentBytes is what the kept part holds.
	// +optional
	SegmentBytes int64 `json:"segmentBytes,omitempty"`
}

// MaxWriterLogs and MaxRestarts bound what a status lists.
const (
	MaxWriterLogs = 50
	MaxRestarts   = 50
)

// LastRecovery is one finished recovery in a line.
type LastRecovery struct {
	// Operation that was recovered.
	Operation string `json:"operation"`
	// Outcome of it: Published, Abandoned or Discarded.
	// +optional
	Outcome string `json:"outcome,omitempty"`
	// Duration from the detection to the outcome, read back.
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`
	// Time of the outcome.
	// +optional
	Time *metav1.MicroTime `json:"time,omitempty"`
}
