// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"slices"
)

// Recoverer is the writer id under which those register who undo what readers can
// see. One at a time: who registers ends the epoch of the one before, wherever it
// is and whatever it believes. No pod can have this name.
const Recoverer WriterID = "_recoverer"

// A roll-back takes two publications, by a recoverer whose epoch stands and who
// holds the write lock:
//
//	rollback <op>   the decision: from here on the operation can never be published.
//	                Without it, one recoverer could publish what another restores.
//	restore <op>    the tables' new pins, which have the content of the old ones
//
// What lies between them, the restores themselves, is done outside of the manifest,
// and may be done again by whoever comes after.

// ErrNotExclusive is wrapped when an entry that undoes lacks what makes it safe.
var ErrNotExclusive = errors.New("not exclusive")

// checkExclusive checks what an entry that undoes has to have: a recoverer whose
// epoch stands, and the write lock.
func (s *State) checkExclusive(e *Entry, by Publisher) error {
	if by.Role != RoleRecovery || by.Writer != Recoverer || by.Epoch.IsZero() {
		return fmt.Errorf("%s of operation %s: %w: its publisher is no registered recoverer", e.Kind, e.Operation, ErrNotExclusive)
	}
	if err := s.checkTerm(by); err != nil {
		return err
	}
	switch {
	case e.LockOwner == "":
		return fmt.Errorf("%s of operation %s: %w: it presents no lock", e.Kind, e.Operation, ErrNotExclusive)
	case s.Lock == nil || s.Lock.Owner != e.LockOwner:
		return s.notHeld(e.LockOwner)
	}
	return nil
}

// checkTerm refuses whoever publishes as a recoverer whose epoch is over. The lock of
// a roll-back has the same owner whoever undoes: without this, one that woke late
// would give back, or take, the lock under which its successor works.
func (s *State) checkTerm(by Publisher) error {
	if cur := s.Writers[Recoverer]; by.Role == RoleRecovery && by.Writer == Recoverer && cur != by.Epoch {
		return &FencedError{Writer: Recoverer, Epoch: by.Epoch, Actual: cur}
	}
	return nil
}

// checkRollBackLock refuses the lock of a roll-back whose operation needs none any
// more: whoever took it late and died would leave the store locked for nothing.
func (s *State) checkRollBackLock(e *Entry) error {
	o, ok := s.Outcome(e.Operation)
	switch {
	case ok && (o.Kind != KindRollBack || o.Restored != 0):
		return &DecidedError{Outcome: o}
	case !ok && !s.Knows(e.Base):
		return &TrimmedError{Operation: e.Operation, Base: e.Base, LowWater: s.LowWater}
	}
	return nil
}

// checkRestore reports whether the roll-back has ended, or why it may not end here.
func (s *State) checkRestore(e *Entry, by Publisher) (done bool, err error) {
	o, ok := s.Outcome(e.Operation)
	switch {
	case !ok:
		return false, fmt.Errorf("restore of operation %s: its roll-back is not decided", e.Operation)
	case o.Kind != KindRollBack:
		return false, &DecidedError{Outcome: o}
	case o.Restored != 0:
		return true, nil
	}
	if err := s.checkExclusive(e, by); err != nil {
		return false, err
	}
	return false, s.checkPins(e)
}

// applyRestore is the one reading of a restore entry. One that follows no open
// roll-back, or finds other pins, changes nothing.
func (s *State) applyRestore(e *Entry, b *Batch) {
	o, ok := s.Outcome(e.Operation)
	if !ok || o.Kind != KindRollBack || o.Restored != 0 || s.checkPins(e) != nil {
		return
	}
	s.pin(e.Tables)
	o.Restored = b.Number
	// States before this one share the list.
	s.Outcomes = slices.Clone(s.Outcomes)
	s.Outcomes[s.index[e.Operation]] = o
}
