// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/salvor-io/salvor/objstore"
)

// Bucket is a bucket with faults. Safe for concurrent use.
type Bucket struct {
	inner objstore.Bucket

	mu     sync.Mutex
	onCall func(Call)
	calls  []Call
	writes int
	rules  []*Rule
	dead   bool
	died   chan struct{} // closed when dead
}

var _ objstore.Bucket = (*Bucket)(nil)

// Wrap returns b without any fault yet.
func Wrap(b objstore.Bucket) *Bucket {
	return &Bucket{inner: b, died: make(chan struct{})}
}

// OnCall has f called for every call before anything else happens to it, on the
// caller's goroutine and without a lock held. nil ends it.
func (b *Bucket) OnCall(f func(Call)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onCall = f
}

// Calls returns every call so far, in order. Calls of a dead process are not among them.
func (b *Bucket) Calls() []Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// Count returns how many calls had the verb; Any counts all.
func (b *Bucket) Count(v Verb) int {
	n := 0
	for _, c := range b.Calls() {
		if v == Any || c.Verb == v {
			n++
		}
	}
	return n
}

// DurableWrites returns how many durable writes were called: PutIfAbsent and Delete.
func (b *Bucket) DurableWrites() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writes
}

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) (objstore.Object, error) {
	s := b.begin(Get, key)
	if _, err := s.before(ctx); err != nil {
		return objstore.Object{}, err
	}
	o, err := b.inner.Get(ctx, key)
	if _, lost := s.after(ctx); lost != nil {
		return objstore.Object{}, lost
	}
	return o, err
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	s := b.begin(GetRange, key)
	if _, err := s.before(ctx); err != nil {
		return nil, err
	}
	body, err := b.inner.GetRange(ctx, key, off, n)
	if _, lost := s.after(ctx); lost != nil {
		return nil, lost
	}
	return body, err
}

// List implements objstore.Bucket. It is one call, made when the iteration
// begins. A listing that loses its answer yields its entries and then fails.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		s := b.begin(List, prefix)
		if _, err := s.before(ctx); err != nil {
			yield(objstore.Entry{}, err)
			return
		}
		for e, err := range b.inner.List(ctx, prefix, after) {
			if b.isDead() {
				yield(objstore.Entry{}, fmt.Errorf("%s: %w", s.call, ErrCrashed))
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		if _, lost := s.after(ctx); lost != nil {
			yield(objstore.Entry{}, lost)
		}
	}
}

// PutIfAbsent implements objstore.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	s := b.begin(PutIfAbsent, key)
	s.late(func(ctx context.Context) (objstore.PutResult, error) {
		return b.inner.PutIfAbsent(ctx, key, slices.Clone(body), attempt)
	})
	if outcome, err := s.before(ctx); err != nil {
		return objstore.PutResult{Outcome: outcome}, err
	}
	r, err := b.inner.PutIfAbsent(ctx, key, s.tear(body), attempt)
	if outcome, lost := s.after(ctx); lost != nil {
		return objstore.PutResult{Outcome: outcome}, lost
	}
	return r, err
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	s := b.begin(Delete, key)
	s.late(func(ctx context.Context) (objstore.PutResult, error) {
		return objstore.PutResult{}, b.inner.Delete(ctx, key)
	})
	if _, err := s.before(ctx); err != nil {
		return err
	}
	err := b.inner.Delete(ctx, key)
	if _, lost := s.after(ctx); lost != nil {
		return lost
	}
	return err
}

// Close implements objstore.Bucket. It is no call, and the dead can do it too.
func (b *Bucket) Close() error { return b.inner.Close() }
