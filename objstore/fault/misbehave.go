// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"iter"
	"sync"

	"github.com/salvor-io/salvor/objstore"
)

// The buckets in this file break one promise each, as real stores have done, and
// keep the others. A probe must find each; a store must not publish on one.

// IgnoresIfAbsent overwrites what is there and answers Created: a store, or a
// proxy before it, that does not know the condition.
func IgnoresIfAbsent(b objstore.Bucket) objstore.Bucket { return &ignoresIfAbsent{Bucket: b} }

type ignoresIfAbsent struct {
	objstore.Bucket
	mu sync.Mutex
}

func (b *ignoresIfAbsent) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := objstore.CheckPut(key, body); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, err
	}
	if err := b.Bucket.Delete(ctx, key); err != nil {
		return objstore.PutResult{Outcome: objstore.Unknown}, err
	}
	return b.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

// ChecksThenWrites looks whether the key is there and then writes, in two steps:
// one put after the other is right, two at once both win. Puts whose key contest
// picks meet in pairs between the two steps, so that they do every time.
func ChecksThenWrites(b objstore.Bucket, contest func(key string) bool) objstore.Bucket {
	return &checksThenWrites{Bucket: b, contest: contest, waiting: map[string]chan struct{}{}}
}

type checksThenWrites struct {
	objstore.Bucket
	contest func(string) bool

	mu      sync.Mutex
	waiting map[string]chan struct{} // the put that checked first waits on it
}

func (b *checksThenWrites) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if _, err := b.Bucket.Get(ctx, key); err == nil || !b.contest(key) {
		return b.Bucket.PutIfAbsent(ctx, key, body, attempt)
	}
	b.mu.Lock()
	if partner, ok := b.waiting[key]; ok {
		delete(b.waiting, key)
		close(partner)
		b.mu.Unlock()
	} else {
		met := make(chan struct{})
		b.waiting[key] = met
		b.mu.Unlock()
		select {
		case <-met:
		case <-ctx.Done():
			return objstore.PutResult{Outcome: objstore.Retry}, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.Bucket.Delete(ctx, key); err != nil {
		return objstore.PutResult{Outcome: objstore.Unknown}, err
	}
	return b.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

// ListsLate never lists what was created through it: a listing that is not
// consistent with the writes before it.
func ListsLate(b objstore.Bucket) objstore.Bucket {
	return &listsLate{Bucket: b, fresh: map[string]bool{}}
}

type listsLate struct {
	objstore.Bucket
	mu    sync.Mutex
	fresh map[string]bool
}

func (b *listsLate) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	b.mu.Lock()
	b.fresh[key] = true
	b.mu.Unlock()
	return b.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

func (b *listsLate) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		for e, err := range b.Bucket.List(ctx, prefix, after) {
			b.mu.Lock()
			hide := err == nil && b.fresh[e.Key]
			b.mu.Unlock()
			if !hide && !yield(e, err) {
				return
			}
		}
	}
}

// RemembersDeleted answers Exists for a key that was there once and was deleted.
func RemembersDeleted(b objstore.Bucket) objstore.Bucket {
	return &remembersDeleted{Bucket: b, deleted: map[string]bool{}}
}

type remembersDeleted struct {
	objstore.Bucket
	mu      sync.Mutex
	deleted map[string]bool
}

func (b *remembersDeleted) Delete(ctx context.Context, key string) error {
	b.mu.Lock()
	b.deleted[key] = true
	b.mu.Unlock()
	return b.Bucket.Delete(ctx, key)
}

func (b *remembersDeleted) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deleted[key] {
		return objstore.PutResult{Outcome: objstore.Exists}, nil
	}
	return b.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

// KeepsDeleted answers every Delete with success and keeps the object.
func KeepsDeleted(b objstore.Bucket) objstore.Bucket { return keepsDeleted{b} }

type keepsDeleted struct{ objstore.Bucket }

func (keepsDeleted) Delete(context.Context, string) error { return nil }
