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
	// Rebase is how often a publication is re-based before ErrContention. Default 32.
	Rebase int
	// Resolve bounds how long a lost answer is pursued before ErrUnknown. Default 15 s.
	Resolve time.Duration
	// Horizon is for how long a reader that has seen the end of the line need not
	// ask whether it was collected meanwhile. Default and most MinAge/2.
	Horizon time.Duration
	// CheckpointEvery is how many publications lie between two full states. Default 64.
	CheckpointEvery uint64
	// CheckpointPart is how many bytes of a full state one object holds at most.
	// Default and most objstore.MaxObject.
	CheckpointPart int

	// formats is the newest format level that is known; only tests know more than Format.
	formats int
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
		o.Rebase = 32
	}
	if o.Resolve == 0 {
		o.Resolve = 15 * time.Second
	}
	if o.Horizon <= 0 || o.Horizon > MinAge/2 {
		o.Horizon = MinAge / 2
	}
	if o.CheckpointEvery == 0 {
		o.CheckpointEvery = 64
	}
	if o.CheckpointPart <= 0 || o.CheckpointPart > objstore.MaxObject {
		o.CheckpointPart = objstore.MaxObject
	}
	return o
}

// Store reads and extends one manifest. It is safe for concurrent use.
type Store struct {
	bucket *dated
	opt    Options
	id     Identity

	line  line   // this process's publications that wait for their batch
	turns *turns // of those who read on
	pace  pace   // with other processes

	mu    sync.Mutex
	state *State    // the newest state seen; only ever moves forward
	sure  time.Time // when the number after it was last known not to be collected
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
	s := &Store{bucket: &dated{Bucket: b}, opt: opt.withDefaults(), id: id, turns: newTurns()}
	s.state = s.origin()
	if _, err := s.restart(ctx); err != nil {
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
func (s *Store) Bucket() objstore.Bucket { return s.bucket.Bucket }

// View returns the newest state seen so far; it makes no request.
func (s *Store) View() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// view returns the newest state and when it was last sure.
func (s *Store) view() (*State, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.sure
}

// learn takes a state over, unless a newer one is known. At the time sure the
// number after it had never been created.
func (s *Store) learn(st *State, sure time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case st.Version > s.state.Version:
		s.state, s.sure = st, sure
	case st.Version == s.state.Version && sure.After(s.sure):
		s.sure = sure
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
	if errors.Is(err, objstore.ErrTooLarge) {
		return nil, "", objectError(key, err)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read publication %d: %w", v, err)
	}
	b, digest, err := decodeBatch(key, o.Body, s.formats())
	if b != nil {
		b.Created = o.Modified
	}
	return b, digest, err
}
