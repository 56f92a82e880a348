// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned for what is asked of a log after Close, or before Recover.
	ErrClosed = errors.New("the log is closed")
	// ErrLocked is what an *AlreadyOpenError is.
	ErrLocked = errors.New("another process owns the log")
	// ErrTooLarge is returned for a transaction above MaxRecord, and for an event
	// without a byte; nothing was written.
	ErrTooLarge = errors.New("a transaction has events of 1 byte or more, and 16 MiB at most")
)

// AlreadyOpenError says that somebody else owns the directory, and did not give it
// up in the time that Open waits. It is an ErrLocked.
type AlreadyOpenError struct{ Dir string }

// Error implements error.
func (e *AlreadyOpenError) Error() string {
	return fmt.Sprintf("%v: %s is locked: end the other process, or give this one a directory of its own", ErrLocked, e.Dir)
}

// Is makes it an ErrLocked.
func (e *AlreadyOpenError) Is(target error) bool { return target == ErrLocked }

// Damage is a CamelCase word for what is wrong with a log that was read. Zero is
// not a damage.
type Damage string

// What can be wrong.
const (
	// DamagedHeader: a segment does not begin with a header of this log's format.
	DamagedHeader Damage = "DamagedHeader"
	// NewerFormat: a newer salvor has written the segment.
	NewerFormat Damage = "NewerFormat"
	// ForeignSegment: it belongs to another log, or bears another one's name.
	ForeignSegment Damage = "ForeignSegment"
	// MissingSegment: the log goes on behind a position that is nowhere.
	MissingSegment Damage = "MissingSegment"
	// DamagedFrame: a checksum is wrong where something acknowledged stood.
	DamagedFrame Damage = "DamagedFrame"
	// PositionRegressed: a transaction has a position that was given before.
	PositionRegressed Damage = "PositionRegressed"
	// PositionSkipped: transactions are missing in front of one that is whole.
	PositionSkipped Damage = "PositionSkipped"
	// CommitWithoutBegin: an event or a commit belongs to no transaction.
	CommitWithoutBegin Damage = "CommitWithoutBegin"
	// BeginTwice: a transaction begins inside of another one.
	BeginTwice Damage = "BeginTwice"
	// EventMissing: the events of a transaction are not all there, or not in order.
	EventMissing Damage = "EventMissing"
	// FutureCheckpoint: a checkpoint covers a position that was not given yet.
	FutureCheckpoint Damage = "FutureCheckpoint"
	// CheckpointRegressed: a checkpoint covers less than one before it.
	CheckpointRegressed Damage = "CheckpointRegressed"
	// UnknownKind: a whole frame is of a kind that this salvor does not know.
	UnknownKind Damage = "UnknownKind"
)

// CorruptError says that a log cannot be what was written. Nothing was changed.
type CorruptError struct {
	Damage Damage
	Path   string
	Offset int64
	Why    string
}

// Error implements error.
func (e *CorruptError) Error() string {
	if e.Damage == NewerFormat {
		return fmt.Sprintf("log %s: %s: run the newer salvor, or move the directory away to start from the newest checkpoint, "+
			"without what was acknowledged since", e.Path, e.Why)
	}
	return fmt.Sprintf("log %s is damaged at byte %d: %s: restore the directory from a copy; "+
		"or move it away to start from the newest checkpoint, without what was acknowledged since", e.Path, e.Offset, e.Why)
}

// PoisonedError says that a write or an fsync failed. What was not acknowledged
// until then may be there after a restart or not; nothing is written any more.
type PoisonedError struct {
	Op    string // "write", "fsync", "rotate"
	Cause error
}

// Error implements error.
func (e *PoisonedError) Error() string {
	return fmt.Sprintf("the log is poisoned: %s failed: %v: see to the disk, then restart the process", e.Op, e.Cause)
}

// Unwrap returns the cause.
func (e *PoisonedError) Unwrap() error { return e.Cause }
