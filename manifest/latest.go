// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// reloads bounds how often a reader starts over because what it read was
// collected under it.
const reloads = 8

// Latest asks for the next number until there is none and returns the newest
// state: one request when nothing happened.
//
// An absent number is the end of the line, or it was collected while this process
// slept. Nothing younger than MinAge is collected, so a reader that saw the end
// less than Horizon ago knows which; another one asks for the boundary, after it
// has read, and starts over from a checkpoint if it was passed.
func (s *Store) Latest(ctx context.Context) (*State, error) {
	st, sure := s.view()
	st, ok, err := s.walk(ctx, st, sure)
	if err != nil || ok {
		return st, err
	}
	return s.restart(ctx)
}

// restart reads the newest state as a process that knows nothing.
func (s *Store) restart(ctx context.Context) (*State, error) {
	for range reloads {
		if st, ok, err := s.reload(ctx); err != nil || ok {
			return st, err
		}
	}
	return nil, fmt.Errorf("the manifest was collected %d times while it was read: %w", reloads, ErrContention)
}

// walk reads on from st, which was the newest state when it was sure (zero: never).
// ok is false when the numbers after st were collected: then nothing that was
// read counts, not even a number that was found. (A publisher that slept may
// have created it again before it looks at the boundary.)
func (s *Store) walk(ctx context.Context, st *State, sure time.Time) (_ *State, ok bool, err error) {
	began, first := s.opt.Now(), st.Version+1
	for {
		b, digest, err := s.read(ctx, st.Version+1)
		if errors.Is(err, objstore.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, false, s.unlessCollected(ctx, first, err)
		}
		if st, err = Apply(st, b, digest); err != nil {
			return nil, false, s.unlessCollected(ctx, first, err)
		}
	}
	if since := s.opt.Now().Sub(sure); since < 0 || since >= s.opt.Horizon {
		collected, err := s.collected(ctx, first)
		if err != nil || collected {
			return nil, false, err
		}
	}
	s.learn(st, began)
	return st, true, nil
}

// unlessCollected returns why, or nil when the number was collected, and with it
// whatever could not be read or did not fit.
func (s *Store) unlessCollected(ctx context.Context, v Version, why error) error {
	switch collected, err := s.collected(ctx, v); {
	case err != nil: // not why: it may accuse a root that only was collected
		return fmt.Errorf("whether publication %d was collected is not known (%s): %w", v, why.Error(), err)
	case collected:
		return nil
	}
	return why
}

// reload starts from the newest checkpoint. ok is false when it was collected
// meanwhile.
func (s *Store) reload(ctx context.Context) (*State, bool, error) {
	newest := ""
	for e, err := range s.bucket.List(ctx, CheckpointPrefix, "") {
		if err != nil {
			return nil, false, fmt.Errorf("list checkpoints: %w", err)
		}
		newest = e.Key
	}
	st := s.origin()
	if newest != "" {
		var err error
		if st, err = s.readCheckpoint(ctx, newest); errors.Is(err, objstore.ErrNotFound) {
			return nil, false, nil // a newer one is there
		}
		if err != nil {
			return nil, false, err
		}
	}
	return s.walk(ctx, st, time.Time{})
}

func (s *Store) readCheckpoint(ctx context.Context, key string) (*State, error) {
	o, err := s.bucket.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	st, err := decodeCheckpoint(key, o.Body, s.formats())
	if err != nil {
		return nil, err
	}
	if st.Store != s.id.UID {
		return nil, &IdentityError{
			Why:  fmt.Sprintf("%s belongs to store %s, the root says %s", key, st.Store, s.id.UID),
			Hint: "the root was swapped or mixed with another one: restore the right objects",
		}
	}
	return st, nil
}
