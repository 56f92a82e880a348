// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned for an Append after Close, or before Recover.
	ErrClosed = errors.New("the log is closed")
	// ErrLocked is wrapped when another process owns the directory.
	ErrLocked = errors.New("another process owns the log")
	// ErrTooLarge is returned for a record above MaxRecord, or an empty one; nothing was written.
	ErrTooLarge = errors.New("a record has 1 byte to 16 MiB")
)

// CorruptError says that a log cannot be what was written. Nothing was changed.
type CorruptError struct {
	Path   string
	Offset int64
	Why    string
}

// Error implements error.
func (e *CorruptError) Error() string {
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
