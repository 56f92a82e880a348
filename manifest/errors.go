// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
)

// Sentinels to branch on; the typed errors below wrap them and carry the data.
var (
	// ErrFenced: the publisher's epoch is over. It must not publish again under it.
	ErrFenced = errors.New("fenced")
	// ErrSuperseded: another process registered under the same writer id. Exit.
	ErrSuperseded = errors.New("superseded by a newer process of this writer")
	// ErrWriterLive: a recoverer tried to decide an operation whose epoch is not ended.
	ErrWriterLive = errors.New("the operation's epoch is not ended")
	// ErrUnknown: an answer was lost and the outcome could not be told before the
	// deadline. Nothing may be cleaned up on the strength of it.
	ErrUnknown = objstore.ErrUnknown
	// ErrContention: the re-base budget is used up. Nothing was published; try later.
	ErrContention = errors.New("too much contention")
	// ErrNoStore: the root holds no identity.
	ErrNoStore = errors.New("the root holds no store")
)

// FencedError says whose epoch ended and what it is now.
type FencedError struct {
	Writer        WriterID
	Epoch, Actual Epoch
}

// Error implements error.
func (e *FencedError) Error() string {
	return fmt.Sprintf("writer %s: epoch %s is over, the manifest has %s", e.Writer, e.Epoch, e.Actual)
}

// Unwrap makes errors.Is(err, ErrFenced) hold.
func (e *FencedError) Unwrap() error { return ErrFenced }

// ExpectedVersionMismatch says that another operation moved the same table.
type ExpectedVersionMismatch struct {
	Table            TableID
	Expected, Actual Ref
}

// Error implements error.
func (e *ExpectedVersionMismatch) Error() string {
	return fmt.Sprintf("table %s: expected version %s, the manifest names %s", e.Table, e.Expected, e.Actual)
}

// DecidedError says that the operation already has an outcome. Whoever gets it
// follows the outcome; it is not a failure.
type DecidedError struct{ Outcome Outcome }

// Error implements error.
func (e *DecidedError) Error() string {
	return fmt.Sprintf("operation %s is already decided: %s in manifest %d", e.Outcome.Operation, e.Outcome.Kind, e.Outcome.Version)
}

// TrimmedError says that the list of recent operations does not reach back to
// the operation's base, so that its absence from the list proves nothing.
type TrimmedError struct {
	Operation      OperationID
	Base, LowWater Version
}

// Error implements error.
func (e *TrimmedError) Error() string {
	return fmt.Sprintf("operation %s started at manifest %d, outcomes are only known after %d: look in the audit trail", e.Operation, e.Base, e.LowWater)
}

// Unwrap makes errors.Is(err, ErrUnknown) hold.
func (e *TrimmedError) Unwrap() error { return ErrUnknown }

// IdentityError says that the root is not the store that was expected.
type IdentityError struct {
	Why, Hint string
}

// Error implements error.
func (e *IdentityError) Error() string { return e.Why + ": " + e.Hint }

// ObjectError names the object that could not be used, and what to do.
type ObjectError struct {
	Key  string
	Err  error
	Hint string
}

// Error implements error.
func (e *ObjectError) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("object %s: %v", e.Key, e.Err)
	}
	return fmt.Sprintf("object %s: %v: %s", e.Key, e.Err, e.Hint)
}

// Unwrap returns the cause.
func (e *ObjectError) Unwrap() error { return e.Err }
