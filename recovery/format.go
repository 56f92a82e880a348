// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"fmt"

	"github.com/salvor-io/salvor/manifest"
)

// Format is a table format that has readers of its own: they follow a table's
// newest version, its head, whether the manifest names it or not. Each version
// carries the identity of the operation that made it. A Format is safe for
// concurrent use.
//
//	number     5           6          7          8
//	           pinned      op         op         roll-back id
//	head       before it   it was     it was     what undid it: the content of 5
type Format interface {
	// Look says what there is of the table of p above the version that operation s
	// started from: Head, Above, Digest, Gone and Damaged; Ownership only where it is
	// [OwnsUnverifiable]. The rest is left to the caller. It only reads.
	Look(ctx context.Context, s *Sidecar, p TablePlan) (TableObservation, error)

	// Restore makes what r says the newest version, by a write that is refused when
	// another write came first. A restore that is there already is the answer. Under
	// another's version nothing is undone: *BuriedError. Where nothing of the undone
	// operation lies and another's version has the number that it planned, there is
	// nothing to do, and nothing that it could still do: the zero pin.
	Restore(ctx context.Context, p *Permit, r Restore) (manifest.Pin, error)
}

// Restore is one table's part of a roll-back.
type Restore struct {
	Table manifest.TableID
	// Above is the newest version before the operation's first: what lies above it
	// is the operation's, or the roll-back does not touch it.
	Above manifest.Ref
	// Undo is the operation, Identity that of the version to make.
	Undo, Identity manifest.OperationID
	// Pin has the content to restore; zero: the table was not there before, and is to
	// be gone for readers.
	Pin manifest.Pin
}

// BuriedError says that somebody else has written above what was to be undone.
// Undoing it now would undo theirs too.
type BuriedError struct {
	Table manifest.TableID
	Undo  manifest.OperationID
	By    manifest.Ref
}

// Error implements error.
func (e *BuriedError) Error() string {
	return fmt.Sprintf("table %s: version %s was written above operation %s: nothing is undone under another's commit", e.Table, e.By, e.Undo)
}

// Ownership says whose versions lie above the one that an operation started from,
// in a table with readers of its own.
type Ownership uint8

const (
	// OwnershipNotLooked is the zero value: no format has looked, or the table's
	// format has no readers of its own.
	OwnershipNotLooked Ownership = iota
	// OwnsNone: nothing lies above it.
	OwnsNone
	// OwnsHead: only the operation's versions lie above it.
	OwnsHead
	// OwnsBuried: the operation's versions do, and another's above them.
	OwnsBuried
	// OwnsForeign: others' versions do, and none of the operation's.
	OwnsForeign
	// OwnsCompensated: the newest version is the one that undoes the operation.
	OwnsCompensated
	// OwnsUnverifiable: whose versions they are cannot be told, or the version that the
	// operation started from is not the one that is there now: the table was
	// deleted and made again.
	OwnsUnverifiable
)

// String returns the ownership's name.
func (o Ownership) String() string {
	names := [...]string{"NotLooked", "None", "Head", "Buried", "Foreign", "Compensated", "Unverifiable"}
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("Ownership(%d)", uint8(o))
}

// Owner tells the ownership from the identities of the versions above the one that
// s started from, oldest first. It is pure: formats differ in how they read them.
func Owner(s *Sidecar, above []manifest.Ref) Ownership {
	own, others, undone := false, false, false
	for i, r := range above {
		switch r.Operation {
		case "":
			return OwnsUnverifiable
		case s.Operation:
			if own = true; others || undone {
				return OwnsUnverifiable // above another's commit: no operation goes there
			}
		case manifest.OperationID(s.Outcomes.RollBack):
			switch {
			case others:
				return OwnsUnverifiable
			case i == len(above)-1:
				return OwnsCompensated
			}
			own, undone = true, true
		default:
			others = true
		}
	}
	switch {
	case own && others:
		return OwnsBuried
	case own:
		return OwnsHead
	case others:
		return OwnsForeign
	default:
		return OwnsNone
	}
}
