// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store/log"
)

// LeftError says what an orderly end could not publish. It is in the log: the next
// process of this data directory publishes it.
type LeftError struct {
	// Published is what the root covers as far as this process knows, Durable what the
	// log holds; 0 when it was not read.
	Published manifest.Position
	Durable   log.Position
	// Mirrored is what the mirror in the root has besides; 0: it has none.
	Mirrored manifest.Position
	// Why the last checkpoint did not go out.
	Why error
}

// Error implements error.
func (e *LeftError) Error() string {
	if e.Durable == 0 {
		return fmt.Sprintf("what the log holds is not known to be in the root: keep the data directory, its next process publishes it: %v", e.Why)
	}
	if e.Mirrored >= manifest.Position(e.Durable) {
		return fmt.Sprintf("positions %d to %d are not published; the mirror in the root has them, too: the next process publishes them, with this data directory or without: %v",
			e.Published+1, e.Durable, e.Why)
	}
	return fmt.Sprintf("positions %d to %d are in the log, and not known to be in the root: keep the data directory, its next process publishes them: %v",
		e.Published+1, e.Durable, e.Why)
}

// Unwrap returns why.
func (e *LeftError) Unwrap() error { return e.Why }

// last publishes what is left when nobody writes any more. It tries until ctx ends:
// a root that comes back within the bound of the end gets everything. A write lock is
// not waited for: its end is nobody's that could be told here.
func (s *Store) last(ctx context.Context, began log.Position) {
	var err error
	mirrored := s.mirrorRest(ctx)
	for try := 0; ; try++ {
		c, _ := s.pass(ctx, began, true)
		var locked *manifest.LockedError
		if err = c.err; err == nil || fatal(err) || errors.As(err, &locked) {
			break
		}
		if s.opt.Sleep(ctx, s.backoff(try)) != nil {
			break
		}
	}
	has := mirrored()
	if snap := s.tables.changed(); len(snap.tables) > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.left = &LeftError{Published: s.covered, Durable: snap.position, Mirrored: has, Why: err}
	}
}

// errUnserved: what an earlier process left in the log was not even read.
var errUnserved = errors.New("this process ended before it served")

func (s *Store) unserved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = &LeftError{Why: errUnserved}
}

// Left says what the orderly end has left in the log alone; nil: the root has all of
// it. It is asked after Shutdown.
func (s *Store) Left() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == nil {
		return nil
	}
	return s.left
}
