// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

// WriterKind is what sort of operation a sidecar announces. The words are on
// disk: never rename one.
type WriterKind string

// The kinds of operations.
const (
	// KindCheckpoint publishes the state that a pod's log has made durable.
	KindCheckpoint WriterKind = "checkpoint"
	// KindLoad publishes rows that came from outside in one go.
	KindLoad WriterKind = "load"
	// KindCompaction rewrites content without changing it.
	KindCompaction WriterKind = "compaction"
	// KindRebuild derives a table from others.
	KindRebuild WriterKind = "rebuild"
	// KindForeign writes into a table format whose newest version readers see
	// before the manifest names it.
	KindForeign WriterKind = "foreign"
)

// Mode is how much proof a kind of operation needs before it may go forward.
type Mode uint8

const (
	// ModeInvalid is the mode of a kind that this salvor does not know.
	ModeInvalid Mode = iota
	// ModeConfirmed: only with recovery/<op>.confirmed.
	ModeConfirmed
	// ModeStrict: one effect a table, so the effects themselves are the proof.
	ModeStrict
	// ModeLoose: repeatable, derived content; as strict, and nothing is lost by
	// doing it again.
	ModeLoose
)

// Traits of a kind of operation.
type Traits struct {
	Mode Mode
	// Visible: readers see effects before the manifest names them, so that
	// abandoning is not enough: they must be undone.
	Visible bool
}

var traits = map[WriterKind]Traits{
	KindCheckpoint: {Mode: ModeConfirmed},
	KindLoad:       {Mode: ModeStrict},
	KindCompaction: {Mode: ModeLoose},
	KindRebuild:    {Mode: ModeLoose},
	KindForeign:    {Mode: ModeConfirmed, Visible: true},
}

// TraitsOf returns the traits of k; Mode is ModeInvalid for a kind that this
// salvor does not know.
func TraitsOf(k WriterKind) Traits { return traits[k] }
