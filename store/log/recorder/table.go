// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/store/log"
)

// state is where a recorder stands. Zero is none.
type state int

const (
	idle      state = iota + 1
	armed           // a unit of work has begun, and nothing has happened in it
	recording       // and something has
	poisoned        // for good
)

func (s state) String() string {
	return [...]string{"invalid", "idle", "armed", "recording", "poisoned"}[s]
}

// call is what is asked of it. Zero is none.
type call int

const (
	callArm           call = iota + 1
	callRecord             // one event
	callCommit             // what was recorded
	callCommitEvents       // what was recorded elsewhere: one event or more
	callCommitNothing      // what was recorded elsewhere: no event
	callAbort
	callPoison
	callLog // Sync, Checkpoint or Truncate, which have no part in a unit of work
)

func (c call) String() string {
	return [...]string{"invalid", "arm", "record", "commit", "commit of events", "commit of no events", "abort", "poison", "sync"}[c]
}

// act is what the recorder has to do. Zero is none.
type act int

const (
	// nothing but the change of state.
	nothing act = iota + 1
	// keep the event.
	keep
	// write what was recorded, or what was handed in.
	write
	// forget what was recorded.
	forget
	// refuse with the reason of the poison.
	refuse
	// misuse: poison with this call as the reason, unless there is one.
	misuse
	// remember the reason that was handed in, unless there is one.
	remember
)

func (a act) String() string {
	return [...]string{"invalid", "nothing", "keep", "write", "forget", "refuse", "misuse", "remember"}[a]
}

// decide says what becomes of a call. It is total: a pair that is not thought of is a
// misuse.
func decide(s state, c call) (state, act) {
	if s == poisoned {
		if c == callPoison {
			return poisoned, remember
		}
		return poisoned, refuse
	}
	switch {
	case c == callPoison:
		return poisoned, remember
	case c == callLog:
		return s, nothing
	case c == callAbort:
		return idle, forget // of nothing, if it was not armed
	case s == idle && c == callArm:
		return armed, nothing
	case s == idle && c == callCommitEvents:
		return idle, write
	case s == idle && c == callCommitNothing:
		return idle, nothing
	case (s == armed || s == recording) && c == callRecord:
		return recording, keep
	case s == armed && c == callCommit:
		return idle, nothing
	case s == recording && c == callCommit:
		return idle, write
	}
	return poisoned, misuse
}

// MisuseError says that a unit of work was not what it should be: the caller has a bug.
type MisuseError struct{ Call, State string }

// Error implements error.
func (e *MisuseError) Error() string {
	return fmt.Sprintf("%s while the recorder is %s: what belongs together is not known any more", e.Call, e.State)
}

// PoisonedError is what every call gets after the first failure or misuse.
type PoisonedError struct{ Cause error }

// Error implements error.
func (e *PoisonedError) Error() string {
	return fmt.Sprintf("the recorder is poisoned: %v: restart the process", e.Cause)
}

// Class is the kind of failure.
func (e *PoisonedError) Class() log.Class {
	var misuse *MisuseError
	if errors.As(e.Cause, &misuse) {
		return log.Misuse
	}
	return log.Classify(e.Cause)
}

// Unwrap returns the first reason.
func (e *PoisonedError) Unwrap() error { return e.Cause }
