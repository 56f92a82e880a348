// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// LockMode is what a write lock lets through. The words are on disk.
type LockMode string

const (
	// Draining lets operations publish that started before the lock.
	Draining LockMode = "Draining"
	// Frozen lets nothing publish but its owner.
	Frozen LockMode = "Frozen"
)

// Lock holds back table entries; control entries always publish. It has an end
// that everybody sees, whether its owner lives or not.
//
//	lock ──▶ Draining ──lock──▶ Frozen
//	            │  ▲ extend        │  ▲ extend
//	            └──┴──── release (owner) or expire (anybody, once object storage
//	                     has given an answer dated Until or later) ────▶ none
//
// It ends only by an entry, so all agree on the version at which it ended,
// whatever their own clocks say.
type Lock struct {
	// Owner is the uid of the maintenance that holds it.
	Owner  string    `json:"owner"`
	Reason string    `json:"reason,omitempty"`
	Mode   LockMode  `json:"mode"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	// Version at which it was taken. In an entry that makes a lock Frozen it says which
	// one: a lock that has ended meanwhile is not taken again.
	Version Version `json:"version,omitempty"`
}

// EndedLock is the newest lock that ended, and how.
type EndedLock struct {
	Owner string `json:"owner"`
	// How is KindRelease, KindExpire or KindAdopt.
	How Kind `json:"how"`
	// Version of the entry that ended it.
	Version Version `json:"version"`
}

// LockedError says that the lock holds an operation back. It is no failure: the
// operation goes on when the lock has ended.
type LockedError struct{ Lock Lock }

// Error implements error.
func (e *LockedError) Error() string {
	return fmt.Sprintf("the store is %s until %s by %s (%s)", e.Lock.Mode, e.Lock.Until.UTC().Format(time.RFC3339), e.Lock.Owner, e.Lock.Reason)
}

// NotHeldError says that who wanted to change the lock does not hold it.
type NotHeldError struct {
	Owner string
	// Actual is who holds it; empty when nobody does.
	Actual string
	// Ended is what became of the owner's lock, if it was the newest that ended.
	Ended *EndedLock
}

// Error implements error.
func (e *NotHeldError) Error() string {
	s := fmt.Sprintf("the write lock is not held by %s", e.Owner)
	switch {
	case e.Ended != nil:
		s += fmt.Sprintf(": it ended at version %d by %s", e.Ended.Version, e.Ended.How)
	case e.Actual != "":
		s += fmt.Sprintf(": it is held by %s", e.Actual)
	default:
		s += ": nobody holds it"
	}
	return s
}

// ErrInvalidLock is wrapped when the terms of a lock cannot be agreed to.
var ErrInvalidLock = errors.New("invalid lock")

// Validate names what is wrong with the terms of a new lock.
func (l *Lock) Validate() error {
	switch {
	case l == nil || l.Owner == "":
		return fmt.Errorf("%w: no owner", ErrInvalidLock)
	case l.Mode != Draining && l.Mode != Frozen:
		return fmt.Errorf("%w: mode %q: want Draining or Frozen", ErrInvalidLock, l.Mode)
	case l.Until.IsZero() || !l.Until.After(l.Since):
		return fmt.Errorf("%w: it has no end after its beginning", ErrInvalidLock)
	}
	return nil
}

// admits reports whether e, a table entry, may publish under the lock.
func (l *Lock) admits(e *Entry) bool {
	return l == nil || e.LockOwner == l.Owner || l.Mode == Draining && e.Base < l.Version
}

func (s *State) notHeld(owner string) error {
	e := &NotHeldError{Owner: owner}
	if s.Lock != nil {
		e.Actual = s.Lock.Owner
	} else if s.EndedLock != nil && s.EndedLock.Owner == owner {
		e.Ended = s.EndedLock
	}
	return e
}

// checkLock reports whether an entry about the lock is already done, or why it
// may not be published.
func (s *State) checkLock(e *Entry) (done bool, err error) {
	cur := s.Lock
	if e.Kind != KindExpire {
		if e.Lock == nil || e.Lock.Owner == "" {
			return false, fmt.Errorf("%w: no owner", ErrInvalidLock)
		}
	}
	if e.Kind == KindLock && e.Operation != "" {
		if err := s.checkRollBackLock(e); err != nil {
			return false, err
		}
	}
	switch {
	case e.Kind == KindLock && e.Lock.Version != 0 && (cur == nil || cur.Owner != e.Lock.Owner || cur.Version != e.Lock.Version):
		return false, s.notHeld(e.Lock.Owner)
	case e.Kind == KindLock && cur == nil:
		return false, e.Lock.Validate()
	case e.Kind == KindLock && cur.Owner != e.Lock.Owner:
		return false, &LockedError{*cur}
	case e.Kind == KindLock && cur.Mode == Frozen && e.Lock.Mode == Draining:
		return false, fmt.Errorf("%w: %s is Frozen; release it and lock again to drain", ErrInvalidLock, cur.Owner)
	case e.Kind == KindLock:
		return cur.Mode == e.Lock.Mode, e.Lock.Validate()
	case e.Kind == KindExpire && (cur == nil || cur.Owner != e.LockOwner):
		return true, nil
	case e.Kind == KindExpire && e.Date.Before(cur.Until):
		return false, fmt.Errorf("%w: object storage says %s, the lock ends at %s", ErrInvalidLock, e.Date.UTC(), cur.Until.UTC())
	case e.Kind == KindExpire:
		return false, nil
	case cur == nil || cur.Owner != e.Lock.Owner:
		return false, s.notHeld(e.Lock.Owner)
	case e.Kind == KindExtend && e.Lock.Until.Before(cur.Until):
		return false, fmt.Errorf("%w: %s is before %s: a lock is shortened by its release", ErrInvalidLock, e.Lock.Until.UTC(), cur.Until.UTC())
	case e.Kind == KindExtend:
		return e.Lock.Until.Equal(cur.Until), nil
	}
	return false, nil
}

// applyLock is the one reading of entries about the lock. An entry that
// checkLock would refuse changes nothing.
func (s *State) applyLock(e *Entry, number Version) {
	if done, err := s.checkLock(e); done || err != nil {
		return
	}
	switch e.Kind {
	case KindLock:
		next := *e.Lock
		if s.Lock != nil { // Draining becomes Frozen
			next = *s.Lock
			next.Mode = e.Lock.Mode
		} else {
			next.Version = number
		}
		s.Lock = &next
	case KindExtend:
		next := *s.Lock
		next.Until = e.Lock.Until
		s.Lock = &next
	default:
		s.unlock(e.Kind, number)
	}
}

func (s *State) unlock(how Kind, number Version) {
	if s.Lock != nil {
		s.EndedLock, s.Lock = &EndedLock{Owner: s.Lock.Owner, How: how, Version: number}, nil
	}
}

// Lock takes the write lock, or makes the own one Frozen. *LockedError when
// somebody else holds it; *NotHeldError when l has a version, and the lock of that
// version has ended.
func (s *Store) Lock(ctx context.Context, by Publisher, l Lock) (Published, error) {
	return s.Publish(ctx, Publication{By: by, Entries: []Entry{{Kind: KindLock, Lock: &l}}})
}

// Extend moves the end of the own lock to later. *NotHeldError when it is not held.
func (s *Store) Extend(ctx context.Context, by Publisher, owner string, until time.Time) (Published, error) {
	return s.Publish(ctx, Publication{By: by, Entries: []Entry{{Kind: KindExtend, Lock: &Lock{Owner: owner, Until: until}}}})
}

// Release ends the lock of owner. That nothing was held is an error, not a
// success: *NotHeldError says what became of it.
func (s *Store) Release(ctx context.Context, by Publisher, owner string) (Published, error) {
	return s.Publish(ctx, Publication{By: by, Entries: []Entry{{Kind: KindRelease, Lock: &Lock{Owner: owner}}}})
}

// Expire ends the lock if the object store's date says that its time is over.
// Anybody may: nothing is published, and no error told, while it is not.
func (s *Store) Expire(ctx context.Context, by Publisher) (Published, error) {
	st, err := s.Latest(ctx)
	if err == nil && st.Lock != nil {
		err = s.askDate(ctx)
	}
	if err != nil {
		return Published{}, err
	}
	over := s.expired(st)
	if over == nil {
		return Published{State: st}, nil
	}
	return s.Publish(ctx, Publication{By: by, Entries: []Entry{*over}})
}
