// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package failpoint names the places where tests stop a process. A point is a value
// from the catalogue below and nobody else can make one: a misspelt name, however
// it is written or handed on, does not compile. In
// ordinary builds Here is empty and is compiled away; builds with the tag
// "failpoint" can park the first arrival at a point and kill it there.
package failpoint

// Point is a place in the code where a process can be parked.
type Point struct{ name string }

// String returns the point's name, as it stands in requests to [Handler].
func (p Point) String() string { return p.name }

// The catalogue: every point, in the order of the walk that it interrupts.
var (
	// WriterArmed: the sidecar is durable, nothing is applied.
	WriterArmed = Point{"writer-armed"}
	// WriterPartlyApplied: the first of several table versions is durable.
	WriterPartlyApplied = Point{"writer-partly-applied"}
	// WriterApplied: every table version is durable, the operation is not confirmed.
	WriterApplied = Point{"writer-applied"}
	// WriterConfirmed: the confirmation is durable, nothing is published.
	WriterConfirmed = Point{"writer-confirmed"}
	// WriterPublished: the publication landed, the sidecar is still there.
	WriterPublished = Point{"writer-published"}
	// RecoveryObserved: a recoverer has read everything and decided; it has written nothing.
	RecoveryObserved = Point{"recovery-observed"}
	// RecoveryPlanned: the plan of a roll-back is durable; nothing is decided.
	RecoveryPlanned = Point{"recovery-planned"}
	// RecoveryRollBackDecided: the manifest says that the operation will be undone;
	// nothing is restored.
	RecoveryRollBackDecided = Point{"recovery-rollback-decided"}
	// RecoveryPartlyRestored: the first table of a roll-back is restored.
	RecoveryPartlyRestored = Point{"recovery-partly-restored"}
	// RecoveryRestored: every table is restored; the manifest does not name the restored versions.
	RecoveryRestored = Point{"recovery-restored"}
	// RecoveryPublished: the outcome entry landed; there is no audit row yet.
	RecoveryPublished = Point{"recovery-published"}
	// RecoveryAudited: the audit row was read back; the sidecar is still there.
	RecoveryAudited = Point{"recovery-audited"}
)

// All lists the catalogue, for tests that visit every point.
var All = []Point{
	WriterArmed, WriterPartlyApplied, WriterApplied, WriterConfirmed, WriterPublished,
	RecoveryObserved, RecoveryPlanned, RecoveryRollBackDecided, RecoveryPartlyRestored, RecoveryRestored, RecoveryPublished, RecoveryAudited,
}
