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

// Published is what became of a publication.
type Published struct {
	// Version that holds the entries; 0 when nothing was left to publish.
	Version Version
	// State after it, or the one that made it needless.
	State *State
	// Batch as it was written; nil when nothing was left to publish.
	Batch *Batch
	// Attempts is how many numbers were tried for it; 0 when nothing was left to publish.
	Attempts int
	// CheckpointErr says why the full state due at this version was not written.
	// The publication stands; the next one that is due writes another.
	CheckpointErr error
}

// Publish makes the publication visible in one step, or says why not.
//
// It creates the next number; when somebody else took it, it reads, checks
// everything again (Admit) and tries the one after. Publications that one process
// makes at the same time under the same Publisher share an object: each is told
// its own result, and one that conflicts does not hold up its neighbours. Alone,
// a publication waits for nobody.
//
// The error is one of those of Admit, or wraps ErrContention (budget used up,
// nothing published), or ErrUnknown (an answer was lost and could not be
// resolved, or ctx ended meanwhile: the publication may be there), or is the
// bucket's own or ctx's: then nothing was published.
func (s *Store) Publish(ctx context.Context, p Publication) (Published, error) {
	r := &request{ctx: ctx, pub: p, done: make(chan struct{})}
	for i := range p.Entries {
		r.size += p.Entries[i].size()
	}
	if s.line.join(r) {
		go s.fly()
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if s.line.leave(r) {
			return Published{}, fmt.Errorf("not published: %w", context.Cause(ctx))
		}
		// It may be on its way. What is known by now is the better answer.
		select {
		case <-r.done:
		default:
			return Published{}, fmt.Errorf("a publication is on its way: %w: %w", ErrUnknown, context.Cause(ctx))
		}
	}
	return r.res, r.err
}

// errPassed: the number is one's own, and it was collected. Either nobody counted it,
// or it was published, and collected before this process heard of it.
var errPassed = errors.New("the number was collected")

// create tries to take the number after st. won is false when another
// publication has it. errPassed when the number turned out to be a collected one.
func (s *Store) create(ctx context.Context, st *State, p Publication) (pub Published, won bool, err error) {
	b := &Batch{
		Store: s.id.UID, Number: st.Version + 1, Parent: st.Digest, Attempt: s.opt.NewID(),
		By: p.By, Head: st.Head, Entries: p.Entries,
	}
	if p.Head.Number > b.Head.Number {
		b.Head = p.Head
	}
	b.Format = st.levelAfter(b.Entries)
	raw, digest, err := EncodeBatch(b)
	if err != nil {
		return Published{}, false, err
	}
	next, err := Apply(st, b, digest)
	if err != nil {
		return Published{}, false, err
	}
	began := s.opt.Now()
	won, other, err := objstore.Settle(ctx, s.bucket, Key(b.Number), raw, b.Attempt, s.patience())
	if err != nil || !won {
		s.follow(st, other, began)
		return Published{}, false, err
	}
	s.pace.win(p.By.Process, began, s.opt.Now())
	// A sleeper may have re-created a number that was collected meanwhile. The
	// boundary is checked after every create and every found-own.
	collected, err := s.collected(ctx, b.Number)
	if err != nil {
		return Published{}, false, fmt.Errorf("publication %d: %w: boundary not readable: %w", b.Number, ErrUnknown, err)
	}
	if collected {
		return Published{Version: b.Number, Batch: b}, false, errPassed
	}
	s.learn(next, began) // the number after this one cannot be older than it
	return Published{Version: b.Number, State: next, Batch: b, CheckpointErr: s.checkpoint(ctx, next)}, true, nil
}

// follow takes over the publication that took the number after st: it was read to
// tell whose it is. Whoever has not looked at the boundary for long reads it again.
func (s *Store) follow(st *State, other objstore.Object, began time.Time) {
	now := s.opt.Now()
	if _, sure := s.view(); now.Before(sure) || now.Sub(sure) >= s.opt.Horizon || other.Key == "" {
		return
	}
	b, digest, err := DecodeBatch(other.Key, other.Body)
	if err != nil {
		return // the next look says it
	}
	if next, err := Apply(st, b, digest); err == nil {
		s.pace.saw(b.By.Process)
		s.learn(next, began)
	}
}
