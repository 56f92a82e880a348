// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// Options tunes a Store. NewID is required; every other zero value is good.
type Options struct {
	// NewID returns a fresh, unique id (a ULID, usually) for each attempt.
	NewID func() string
	// Now is the clock for deadlines. Default time.Now.
	Now func() time.Time
	// Sleep waits d or until ctx ends. Default a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Jitter returns a factor in [0,1) that spreads retries. Default 0.5.
	Jitter func() float64
	// Rebase is how often a publication is re-based before ErrContention. Default 16.
	Rebase int
	// Resolve bounds how long a lost answer is pursued before ErrUnknown. Default 15 s.
	Resolve time.Duration
	// CheckpointEvery is how many publications lie between two full states. Default 64.
	CheckpointEvery uint64
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = objstore.Sleep
	}
	if o.Jitter == nil {
		o.Jitter = func() float64 { return 0.5 }
	}
	if o.Rebase == 0 {
		o.Rebase = 16
	}
	if o.Resolve == 0 {
		o.Resolve = 15 * time.Second
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 64
	}
	return o
}

// Store reads and extends one manifest. It is safe for concurrent use.
type Store struct {
	bucket objstore.Bucket
	opt    Options
	id     Identity

	line line // this process's publications that wait for their batch

	mu    sync.Mutex
	state *State // the newest state seen; only ever moves forward
}

// Open reads the root's identity and its newest state. ErrNoStore when the root
// has no identity; *IdentityError when its objects belong together with another.
func Open(ctx context.Context, b objstore.Bucket, opt Options) (*Store, error) {
	if opt.NewID == nil {
		return nil, errors.New("manifest.Open: Options.NewID is required")
	}
	id, err := ReadIdentity(ctx, b)
	if err != nil {
		return nil, err
	}
	s := &Store{bucket: b, opt: opt.withDefaults(), id: id}
	s.state = s.origin()
	if err := s.reload(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) origin() *State {
	st := NewState(s.id.UID)
	st.Claimant = s.id.Claimant
	return st
}

// Identity returns which store this is.
func (s *Store) Identity() Identity { return s.id }

// Bucket returns the root's bucket.
func (s *Store) Bucket() objstore.Bucket { return s.bucket }

// View returns the newest state seen so far; it makes no request.
func (s *Store) View() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Store) learn(st *State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.Version > s.state.Version {
		s.state = st
	}
}

// Latest asks for the next number until there is none and returns the newest
// state: one request when nothing happened.
func (s *Store) Latest(ctx context.Context) (*State, error) {
	st := s.View()
	for {
		b, digest, err := s.read(ctx, st.Version+1)
		if errors.Is(err, objstore.ErrNotFound) {
			return st, nil
		}
		if err != nil {
			return nil, err
		}
		if st, err = Apply(st, b, digest); err != nil {
			return nil, err
		}
		s.learn(st)
	}
}

// Batch reads publication v.
func (s *Store) Batch(ctx context.Context, v Version) (*Batch, error) {
	b, _, err := s.read(ctx, v)
	return b, err
}

func (s *Store) read(ctx context.Context, v Version) (*Batch, string, error) {
	key := Key(v)
	o, err := s.bucket.Get(ctx, key)
	if err != nil {
		return nil, "", fmt.Errorf("read publication %d: %w", v, err)
	}
	return DecodeBatch(key, o.Body)
}

// reload starts from the newest checkpoint, as a process that knows nothing.
func (s *Store) reload(ctx context.Context) error {
	newest := ""
	for e, err := range s.bucket.List(ctx, CheckpointPrefix, "") {
		if err != nil {
			return fmt.Errorf("list checkpoints: %w", err)
		}
		newest = e.Key
	}
	if newest != "" {
		o, err := s.bucket.Get(ctx, newest)
		if err != nil {
			return fmt.Errorf("read the newest checkpoint: %w", err)
		}
		st, err := DecodeCheckpoint(newest, o.Body)
		if err != nil {
			return err
		}
		if st.Store != s.id.UID {
			return &IdentityError{
				Why:  fmt.Sprintf("%s belongs to store %s, the root says %s", newest, st.Store, s.id.UID),
				Hint: "the root was swapped or mixed with another one: restore the right objects",
			}
		}
		s.learn(st)
	}
	_, err := s.Latest(ctx)
	return err
}
