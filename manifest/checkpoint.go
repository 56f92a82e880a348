// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// A full state is one object while it fits in one. A larger one is cut, and the
// object is the list of its pieces:
//
//	checkpoint/<n>                      kind checkpoint: the state
//	checkpoint/<n>                      kind parts: store, version, and of each part digest and bytes, in order
//	parts/<n>/<digest> ...              the bytes of the checkpoint, cut
//
// The parts are there before the list is. They belong to this one number: what is
// collected with it is missing to nobody else.

// checkpoint writes the full state when it is due, so that a cold reader's cost
// does not grow with history.
func (s *Store) checkpoint(ctx context.Context, st *State) error {
	if uint64(st.Version)%s.opt.CheckpointEvery != 0 {
		return nil
	}
	raw, parts, err := encodeCheckpoint(st, s.opt.CheckpointPart)
	if err != nil {
		return err
	}
	for _, p := range parts {
		key := PartKey(st.Version, p.Digest)
		own, _, err := objstore.Settle(ctx, s.bucket, key, p.body, s.opt.NewID(), s.patience())
		if err == nil && !own {
			err = &ObjectError{Key: key, Err: envelope.ErrMalformed, Hint: "it holds other bytes than its name says: delete it, nobody reads it"}
		}
		if err != nil {
			return fmt.Errorf("write checkpoint %d: %w", st.Version, err)
		}
	}
	res, err := s.bucket.PutIfAbsent(ctx, CheckpointKey(st.Version), raw, s.opt.NewID())
	if res.Outcome == objstore.Created || res.Outcome == objstore.Exists {
		return nil
	}
	return fmt.Errorf("write checkpoint %d: %w", st.Version, err)
}

// readCheckpoint reads a full state. An error that says ErrNotFound says that the
// checkpoint is not there; a part that is not is a damaged checkpoint.
func (s *Store) readCheckpoint(ctx context.Context, v Version) (*State, error) {
	key := CheckpointKey(v)
	raw, err := s.checkpointBytes(ctx, key)
	if err != nil {
		return nil, err
	}
	st, err := decodeCheckpoint(key, raw, s.formats())
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

// checkpointBytes returns a checkpoint as one object, whatever it is stored as.
func (s *Store) checkpointBytes(ctx context.Context, key string) ([]byte, error) {
	o, err := s.bucket.Get(ctx, key)
	if errors.Is(err, objstore.ErrTooLarge) {
		return nil, objectError(key, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	list, err := decodeParts(key, o.Body)
	if err != nil || list == nil {
		return o.Body, err
	}
	raw := make([]byte, 0, min(list.Bytes, maxPreallocated))
	for _, p := range list.Parts {
		part := PartKey(list.Version, p.Digest)
		o, err := s.bucket.Get(ctx, part)
		switch {
		case errors.Is(err, objstore.ErrTooLarge):
			return nil, objectError(part, err)
		case gone(err):
			return nil, &ObjectError{Key: part, Err: fmt.Errorf("%w: %s names it", errPartMissing, key), Hint: restore}
		case err != nil:
			return nil, fmt.Errorf("read checkpoint: %w", err)
		}
		if got := envelope.Digest(o.Body); got != p.Digest {
			return nil, objectError(part, &envelope.DigestError{Kind: checkpointKind, Want: p.Digest, Got: got})
		}
		raw = append(raw, o.Body...)
	}
	return raw, nil
}

// errPartMissing is not ErrNotFound: a checkpoint without a part is damaged, one
// that is not there was collected.
var errPartMissing = errors.New("a part of a checkpoint is missing")

// maxPreallocated bounds what a number in an object makes a reader allocate.
const maxPreallocated = 64 << 20

// damaged reports whether err is about an object that cannot be used and that
// another one can stand in for. A newer format is not damage: this salvor is too old.
func damaged(err error) bool {
	var o *ObjectError
	var newer *envelope.FormatError
	return errors.As(err, &o) && !errors.As(err, &newer)
}
