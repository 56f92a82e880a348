// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package mem is an object store in memory. It keeps every promise of
// [objstore.Bucket]: one mutex orders all calls, each call takes effect at one
// moment, and nothing depends on time but the stamps that Options.Now gives.
//
// It is the bucket of unit tests, of the simulation and of mem:// roots. It is
// honest, so it never answers Retry for a reason of its own, and never Unknown.
// Faults come from package fault, around it.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// defaultPage is how many entries a listing reads at one moment, as S3 does.
const defaultPage = 1000

// Options sets what a bucket takes from outside. The zero value is ready to use.
type Options struct {
	// Now is the bucket's own clock; time.Now when nil.
	Now func() time.Time
	// Page is how many entries a listing reads at one moment. Between two pages
	// other calls may create and delete, as with a real store. 1000 when zero.
	Page int
}

// Bucket is an object store in memory. Safe for concurrent use.
type Bucket struct {
	now  func() time.Time
	page int

	mu      sync.Mutex
	keys    []string // sorted; the keys of objects
	objects map[string]object
}

type object struct {
	body     []byte // never changed after it was stored
	modified time.Time
	attempt  string
}

var _ objstore.Bucket = (*Bucket)(nil)

// New returns an empty bucket.
func New(o Options) *Bucket {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Page <= 0 {
		o.Page = defaultPage
	}
	return &Bucket{now: o.Now, page: o.Page, objects: map[string]object{}}
}

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) (objstore.Object, error) {
	o, now, err := b.lookup(ctx, "get", key)
	if err != nil {
		return objstore.Object{}, err
	}
	return objstore.Object{Key: key, Body: bytes.Clone(o.body), Modified: o.modified, Date: now}, nil
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	if err := objstore.CheckRange(key, off, n); err != nil {
		return nil, err
	}
	o, _, err := b.lookup(ctx, "get range", key)
	if err != nil {
		return nil, err
	}
	size := int64(len(o.body))
	off = min(off, size)
	return bytes.Clone(o.body[off : off+min(n, size-off)]), nil
}

func (b *Bucket) lookup(ctx context.Context, verb, key string) (object, time.Time, error) {
	if err := objstore.CheckKey(key); err != nil {
		return object{}, time.Time{}, err
	}
	if err := ctx.Err(); err != nil {
		return object{}, time.Time{}, fmt.Errorf("%s %s: %w", verb, key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.objects[key]
	if !ok {
		return object{}, time.Time{}, fmt.Errorf("%s %s: %w", verb, key, objstore.ErrNotFound)
	}
	return o, b.now(), nil
}

// List implements objstore.Bucket. No lock is held while an entry is consumed.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		last := after
		for {
			if err := ctx.Err(); err != nil {
				yield(objstore.Entry{}, fmt.Errorf("list %q: %w", prefix, err))
				return
			}
			page := b.readPage(prefix, last)
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				last = e.Key
			}
			if len(page) < b.page {
				return
			}
		}
	}
}

// readPage returns the first entries that match, all as of one moment.
func (b *Bucket) readPage(prefix, after string) []objstore.Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, found := slices.BinarySearch(b.keys, max(prefix, after))
	if found && b.keys[i] == after {
		i++
	}
	var page []objstore.Entry
	for ; i < len(b.keys) && len(page) < b.page && strings.HasPrefix(b.keys[i], prefix); i++ {
		o := b.objects[b.keys[i]]
		page = append(page, objstore.Entry{Key: b.keys[i], Size: int64(len(o.body)), Modified: o.modified})
	}
	return page
}

// PutIfAbsent implements objstore.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if err := objstore.CheckPut(key, body); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, err
	}
	if err := ctx.Err(); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, fmt.Errorf("put %s: %w", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if _, taken := b.objects[key]; taken {
		return objstore.PutResult{Outcome: objstore.Exists, Date: now}, nil
	}
	b.objects[key] = object{body: bytes.Clone(body), modified: now, attempt: attempt}
	i, _ := slices.BinarySearch(b.keys, key)
	b.keys = slices.Insert(b.keys, i, key)
	return objstore.PutResult{Outcome: objstore.Created, Date: now}, nil
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := objstore.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, found := slices.BinarySearch(b.keys, key); found {
		b.keys = slices.Delete(b.keys, i, i+1)
		delete(b.objects, key)
	}
	return nil
}

// Close implements objstore.Bucket. The objects stay: a bucket with a name
// (mem://name) is opened again by the next caller in the process.
func (b *Bucket) Close() error { return nil }

// Attempt returns the attempt id that the object was created with; "" when the
// key is absent. For tests.
func (b *Bucket) Attempt(key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[key].attempt
}

// Clone returns a bucket with the same objects, clock and page size. Later calls
// on one are not seen by the other: a crash explorer keeps a state and runs
// several futures from it.
func (b *Bucket) Clone() *Bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &Bucket{now: b.now, page: b.page, keys: slices.Clone(b.keys), objects: make(map[string]object, len(b.objects))}
	for k, o := range b.objects {
		c.objects[k] = o // bodies are never changed, so they are shared
	}
	return c
}
