// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// dated is a bucket that remembers the newest date in its answers. It is the only
// clock by which a lock ends: one's own may be wrong. (For files and memory it is
// the host's.)
type dated struct {
	objstore.Bucket

	mu     sync.Mutex
	newest time.Time
}

func (d *dated) note(date time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if date.After(d.newest) {
		d.newest = date
	}
}

func (d *dated) date() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newest
}

// Get implements objstore.Bucket.
func (d *dated) Get(ctx context.Context, key string) (objstore.Object, error) {
	o, err := d.Bucket.Get(ctx, key)
	if err == nil {
		d.note(o.Date)
	}
	return o, err
}

// PutIfAbsent implements objstore.Bucket.
func (d *dated) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	r, err := d.Bucket.PutIfAbsent(ctx, key, body, attempt)
	d.note(r.Date)
	return r, err
}

// askDate makes object storage say what time it is.
func (s *Store) askDate(ctx context.Context) error {
	if _, err := s.bucket.Get(ctx, IdentityKey); err != nil {
		return fmt.Errorf("ask for the object store's date: %w", err)
	}
	return nil
}

// expired returns the entry that ends the lock of st, if object storage has given
// an answer dated its end or later; else nil.
func (s *Store) expired(st *State) *Entry {
	if st.Lock == nil {
		return nil
	}
	date := s.bucket.date()
	if date.Before(st.Lock.Until) {
		return nil
	}
	return &Entry{Kind: KindExpire, LockOwner: st.Lock.Owner, Date: date}
}
