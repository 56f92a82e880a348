// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"time"

	"github.com/salvor-io/salvor/store/log"
)

// Reason is a CamelCase word for why a call was refused. Clients branch on it.
type Reason string

// The reasons.
const (
	ReasonInvalid    Reason = "Invalid"    // the client has to correct it
	ReasonNotFound   Reason = "NotFound"   // no such row, or table
	ReasonIDReused   Reason = "IDReused"   // the id belongs to another transaction
	ReasonTooLarge   Reason = "TooLarge"   // the body is above its bound
	ReasonStarting   Reason = "Starting"   // the store does not serve yet
	ReasonDraining   Reason = "Draining"   // the process is about to end
	ReasonFrozen     Reason = "Frozen"     // a write lock holds the store
	ReasonOverloaded Reason = "Overloaded" // too many transactions are in flight
	ReasonPoisoned   Reason = "Poisoned"   // the local log has failed
	ReasonNoAnswer   Reason = "NoAnswer"   // the caller stopped waiting
	ReasonCheckpoint Reason = "Checkpoint" // the checkpoint did not go out
	// ReasonPrecondition: a statement's condition did not hold. Refusal.Failed says which.
	ReasonPrecondition Reason = "PreconditionFailed"
	// ReasonTruncated: the log has that position no more. Refusal.Earliest is what it has.
	ReasonTruncated Reason = "Truncated"
	// ReasonPositionAhead: the log never had that position.
	ReasonPositionAhead Reason = "PositionAhead"
	// ReasonSnapshotGone: start again, with a new one.
	ReasonSnapshotGone Reason = "SnapshotGone"
	ReasonUnreadable   Reason = "LogUnreadable" // the log cannot be read back
	ReasonInternal     Reason = "Internal"      // a bug
)

// Refusal is an error that a client is told.
type Refusal struct {
	Reason  Reason
	Message string
	// Unknown: the transaction may become durable or may not. Under the same id it
	// can be sent again, to a process that runs.
	Unknown bool
	// RetryAfter is when trying again makes sense; zero when it does not.
	RetryAfter time.Duration
	Cause      error
	// Failed belongs to ReasonPrecondition, Earliest to ReasonTruncated.
	Failed   *FailedPrecondition
	Earliest log.Position
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// refused turns an error of the log into what a client is told.
func refused(err error, unknown bool) *Refusal {
	var poisoned *log.PoisonedError
	if errors.As(err, &poisoned) {
		return &Refusal{Reason: ReasonPoisoned, Message: poisoned.Error(), Unknown: unknown, RetryAfter: 30 * time.Second, Cause: err}
	}
	return &Refusal{Reason: ReasonDraining, Message: "the process is shutting down", Unknown: unknown, RetryAfter: time.Second, Cause: err}
}
