// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
)

// Publication is what one publisher wants to add: all of its entries or none,
// except that a fence of an epoch that is already over is dropped as done.
type Publication struct {
	By      Publisher
	Entries []Entry
	// Head is the newest audit row that the publisher knows; the manifest only
	// ever raises it.
	Head ChainHead
	// Unsure: the answer to an earlier try was lost, so the operation may be published
	// already. Its absence from the list of outcomes proves nothing then, unless the list
	// reaches back to its base: *TrimmedError.
	Unsure bool
}

// Admit checks a publication against a state and returns the entries that are
// left to publish. It is pure; Publish runs it again after every re-base. The
// order of the checks is part of the protocol: is the operation already decided,
// is the epoch still the publisher's, does the lock let it through, are the pins
// as expected. (Pins first would tell "failed" to the owner of a published operation.)
//
// No entries and no error mean that there is nothing left to do.
func Admit(s *State, p Publication) ([]Entry, error) {
	var kept []Entry
	work := s
	for i := range p.Entries {
		e := p.Entries[i]
		done, err := work.check(&e, p.By, p.Unsure)
		if err != nil {
			return nil, err
		}
		if done {
			continue
		}
		kept = append(kept, e)
		if i+1 < len(p.Entries) { // later entries see the earlier ones
			work = work.cow()
			work.extend(kept[len(kept)-1:], p.By, s.Version+1)
		}
	}
	return kept, nil
}

// check reports whether e is already done, or why it may not be published.
func (s *State) check(e *Entry, by Publisher, unsure bool) (done bool, err error) {
	switch e.Kind {
	case KindRegister:
		if cur := s.Writers[e.Writer]; e.Epoch.Number != cur.Number+1 {
			return false, &FencedError{Writer: e.Writer, Epoch: e.Epoch, Actual: cur}
		}
	case KindFence:
		return s.Writers[e.Writer] != e.Epoch, nil
	case KindPublish, KindAbandon, KindRollBack:
		return false, s.checkOutcome(e, by, unsure)
	case KindRestore:
		return s.checkRestore(e, by)
	case KindClaim:
		if s.Claimant != nil {
			if *s.Claimant == *e.Claimant {
				return true, nil
			}
			return false, claimedError(s.Claimant)
		}
	case KindAdopt: // what the caller looked at is what is adopted
		if s.Version != e.Base {
			return false, adoptError(s.Version, e.Base)
		}
	case KindLock, KindExtend, KindRelease, KindExpire:
		if done, err = s.checkLock(e); err == nil {
			err = s.checkTerm(by)
		}
		return done, err
	case KindFormat:
		return s.checkFormat(e)
	case KindAnchor:
	case KindAnnounce:
		return e.LowWater <= s.Announced, nil
	case KindTrim:
		if e.LowWater > s.Announced {
			return false, fmt.Errorf("trim to %d: only %d was announced", e.LowWater, s.Announced)
		}
		return e.LowWater <= s.LowWater, nil
	default:
		return false, fmt.Errorf("entry of unknown kind %q", e.Kind)
	}
	return false, nil
}

func (s *State) checkOutcome(e *Entry, by Publisher, unsure bool) error {
	// Identity first: is it already decided?
	if o, ok := s.Outcome(e.Operation); ok {
		return &DecidedError{Outcome: o}
	}
	ended := s.Ended(e.Writer, e.Epoch)
	// A writer under a current epoch is the only one that could have decided. One that
	// has all its answers knows that it did not; anybody else needs the list to reach back.
	if !s.Knows(e.Base) && (ended || unsure || by.Role != RoleWriter) {
		return &TrimmedError{Operation: e.Operation, Base: e.Base, LowWater: s.LowWater}
	}
	switch by.Role {
	case RoleWriter:
		if ended {
			return &FencedError{Writer: e.Writer, Epoch: e.Epoch, Actual: s.Writers[e.Writer]}
		}
	case RoleRecovery:
		if !ended {
			return fmt.Errorf("operation %s of writer %s: %w", e.Operation, e.Writer, ErrWriterLive)
		}
	default:
		return fmt.Errorf("a publisher of role %q decides no operation", by.Role)
	}
	switch e.Kind {
	case KindAbandon: // a control entry
		return nil
	case KindRollBack:
		return s.checkExclusive(e, by)
	}
	if !s.Lock.admits(e) {
		return &LockedError{*s.Lock}
	}
	return s.checkPins(e)
}

func (s *State) checkPins(e *Entry) error {
	for _, c := range e.Tables {
		if actual := s.Ref(c.Table); actual != c.Expected {
			return &ExpectedVersionMismatch{Table: c.Table, Expected: c.Expected, Actual: actual}
		}
	}
	return nil
}

// IsMismatch reports whether err says that a table moved.
func IsMismatch(err error) bool {
	var m *ExpectedVersionMismatch
	return errors.As(err, &m)
}

// AsDecided returns the outcome inside err, if it is a *DecidedError.
func AsDecided(err error) (Outcome, bool) {
	var d *DecidedError
	if errors.As(err, &d) {
		return d.Outcome, true
	}
	return Outcome{}, false
}
