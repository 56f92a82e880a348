// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	return s.Through(ctx, 0)
}

// Through returns a state at v or after it: the remembered one if it will do, or
// else what reading on to v gives, without asking whether there is more. v is 0:
// the newest.
func (s *Store) Through(ctx context.Context, v Version) (*State, error) {
	if st := s.View(); v > 0 && st.Version >= v {
		return st, nil
	}
	done, err := s.turns.take(ctx, func(shared bool) bool {
		if v > 0 {
			return s.View().Version >= v
		}
		return shared
	})
	if err != nil || done == nil {
		return s.View(), err
	}
	st, sure := s.view()
	st, ok, err := s.walkTo(ctx, st, sure, v)
	if err == nil && !ok {
		st, err = s.restart(ctx)
	}
	done(err == nil && v == 0)
	return st, err
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
	return s.walkTo(ctx, st, sure, 0)
}

// walkTo is walk, up to version until if that is not 0.
func (s *Store) walkTo(ctx context.Context, st *State, sure time.Time, until Version) (_ *State, ok bool, err error) {
	began, first := s.opt.Now(), st.Version+1
	for n := uint64(1); until == 0 || st.Version < until; n++ {
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
		s.pace.saw(b.By.Process)
		if n%s.opt.CheckpointEvery == 0 {
			if st, err = s.skip(ctx, st); err != nil {
				return nil, false, err
			}
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
// meanwhile. One that is damaged is passed over while history reaches back to an
// older one, or to the beginning.
func (s *Store) reload(ctx context.Context) (*State, bool, error) {
	have, err := s.numbers(ctx, CheckpointPrefix)
	if err != nil {
		return nil, false, err
	}
	var broken error // why the newest one cannot be used
	st := s.origin()
	for _, v := range slices.Backward(have) {
		found, err := s.readCheckpoint(ctx, v)
		switch {
		case err == nil:
			st = found
		case gone(err):
			return nil, false, nil // a newer one is there
		case damaged(err):
			broken = cmp.Or(broken, err)
			continue
		default:
			return nil, false, err
		}
		break
	}
	st, ok, err := s.walk(ctx, st, time.Time{})
	if err == nil && !ok && broken != nil {
		// Is it that history does not reach back, or that it went away as a whole?
		_, err := s.bucket.Get(ctx, CheckpointKey(have[len(have)-1]))
		if !gone(err) {
			return nil, false, broken
		}
	}
	return st, ok, err
}

// skip returns the state of a checkpoint after st, or st: for a reader that is
// far behind, whose cost must not grow with how far.
func (s *Store) skip(ctx context.Context, st *State) (*State, error) {
	newest := ""
	for e, err := range s.bucket.List(ctx, CheckpointPrefix, CheckpointKey(st.Version)) {
		if err != nil {
			return nil, fmt.Errorf("list checkpoints: %w", err)
		}
		newest = e.Key
	}
	v, err := ParseVersion(strings.TrimPrefix(newest, CheckpointPrefix))
	if err != nil {
		return st, nil //nolint:nilerr // there is none: one by one
	}
	ahead, err := s.readCheckpoint(ctx, v)
	if gone(err) || damaged(err) {
		return st, nil
	}
	return ahead, err
}
