// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

const readerKind = "reader"

// MaxLease bounds for how long a reader that died keeps what it needed.
const MaxLease = 7 * 24 * time.Hour

// reader is the object readers/<id>: until its lease is over, by the object
// store's clock, nothing that its version needs is collected.
type reader struct {
	Store   string  `json:"store"`
	Version Version `json:"version"`
	// Seconds from the object's creation on.
	Seconds int64 `json:"seconds"`
	// Why is for people who wonder what holds the collection back.
	Why string `json:"why,omitempty"`
}

// Snapshot is one version of the store, kept for its reader: its publications,
// and every table version that it names, stay until Release, or until the lease
// that it was opened with is over. Renew before that.
type Snapshot struct {
	State *State

	s   *Store
	key string
	why string
}

// Snapshot pins the newest version for lease, which is at most MaxLease. why is
// for people. It costs a put and a look at the boundary; Release costs a delete.
//
//	reader:     put readers/<id> {version v}      then: is the boundary above v? start over
//	collector:  raise the boundary                then: list the readers, keep what they need
//
// One of the two sees the other.
func (s *Store) Snapshot(ctx context.Context, lease time.Duration, why string) (*Snapshot, error) {
	for range reloads {
		st, err := s.Latest(ctx)
		if err != nil {
			return nil, err
		}
		key, err := s.pin(ctx, st.Version, lease, why)
		if err != nil {
			return nil, err
		}
		collected, err := s.collected(ctx, st.Version)
		if err == nil && !collected {
			return &Snapshot{State: st, s: s, key: key, why: why}, nil
		}
		if derr := s.bucket.Delete(ctx, key); err != nil {
			return nil, errors.Join(err, derr)
		}
	}
	return nil, fmt.Errorf("pin a snapshot: collected %d times meanwhile: %w", reloads, ErrContention)
}

func (s *Store) pin(ctx context.Context, v Version, lease time.Duration, why string) (key string, err error) {
	if lease < time.Second || lease > MaxLease {
		return "", fmt.Errorf("a snapshot's lease of %s: want 1 s to %s", lease, MaxLease)
	}
	id := s.opt.NewID()
	raw, err := envelope.Encode(readerKind, readerFormats.At(s.View().Level()), reader{Store: s.id.UID, Version: v, Seconds: int64(lease / time.Second), Why: why})
	if err != nil {
		return "", err
	}
	key = ReaderPrefix + id
	own, _, err := objstore.Settle(ctx, s.bucket, key, raw, id, s.patience())
	if err == nil && !own {
		err = fmt.Errorf("%s is taken: NewID returned an id twice", key)
	}
	return key, err
}

// Renew keeps the snapshot for another lease from now on. An error says that the
// old lease is the one that counts.
func (p *Snapshot) Renew(ctx context.Context, lease time.Duration) error {
	key, err := p.s.pin(ctx, p.State.Version, lease, p.why)
	if err != nil {
		return err
	}
	old := p.key
	p.key = key
	return p.s.bucket.Delete(ctx, old)
}

// Release gives the version free. What cannot be deleted ends with its lease.
func (p *Snapshot) Release(ctx context.Context) error { return p.s.bucket.Delete(ctx, p.key) }

// Reader is somebody who pins a version.
type Reader struct {
	Key     string    `json:"key"`
	Version Version   `json:"version"`
	Until   time.Time `json:"until"`
	Why     string    `json:"why,omitempty"`
	Expired bool      `json:"expired,omitempty"`
}

// Readers lists who pins a version. A reader's object that cannot be read is an
// error: what it needs is not known.
func (s *Store) Readers(ctx context.Context) ([]Reader, error) {
	var out []Reader
	for e, err := range s.bucket.List(ctx, ReaderPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list readers: %w", err)
		}
		o, err := s.bucket.Get(ctx, e.Key)
		if errors.Is(err, objstore.ErrNotFound) {
			continue // released
		}
		if err != nil && !errors.Is(err, objstore.ErrTooLarge) {
			return nil, fmt.Errorf("read reader %s: %w", e.Key, err)
		}
		var r reader
		if err == nil {
			_, err = envelope.Decode(readerKind, readerFormats.Newest(), o.Body, &r)
		}
		if err != nil {
			return nil, &ObjectError{Key: e.Key, Err: err, Hint: "nothing is collected while it is there: delete it if its reader is gone"}
		}
		until := o.Modified.Add(time.Duration(r.Seconds) * time.Second)
		out = append(out, Reader{Key: e.Key, Version: r.Version, Until: until, Why: r.Why, Expired: o.Date.After(until)})
	}
	return out, nil
}
