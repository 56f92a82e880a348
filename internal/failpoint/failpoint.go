// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package failpoint names the places where tests stop a process. A point is a
// constant from the catalogue below, so a misspelt one does not compile. In
// ordinary builds Here is empty and is compiled away; builds with the tag
// "failpoint" can park the first arrival at a point and kill it there.
package failpoint

// Point is a place in the code where a process can be parked.
type Point string

// The catalogue: every point, in the order of the walk that it interrupts.
const (
	// WriterArmed: the sidecar is durable, nothing is applied.
	WriterArmed Point = "writer-armed"
	// WriterPartlyApplied: the first of several table versions is durable.
	WriterPartlyApplied Point = "writer-partly-applied"
	// WriterApplied: every table version is durable, the operation is not confirmed.
	WriterApplied Point = "writer-applied"
	// WriterConfirmed: the confirmation is durable, nothing is published.
	WriterConfirmed Point = "writer-confirmed"
	// WriterPublished: the publication landed, the sidecar is still there.
	WriterPublished Point = "writer-published"
	// RecoveryObserved: a recoverer has read everything and decided; it has written nothing.
	RecoveryObserved Point = "recovery-observed"
	// RecoveryPublished: the outcome entry landed; there is no audit row yet.
	RecoveryPublished Point = "recovery-published"
	// RecoveryAudited: the audit row was read back; the sidecar is still there.
	RecoveryAudited Point = "recovery-audited"
)

// All lists the catalogue, for tests that visit every point.
var All = []Point{
	WriterArmed, WriterPartlyApplied, WriterApplied, WriterConfirmed, WriterPublished,
	RecoveryObserved, RecoveryPublished, RecoveryAudited,
}
