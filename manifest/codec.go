// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore/envelope"
)

const (
	batchKind      = "manifest"
	checkpointKind = "checkpoint"
	identityKind   = "store"
	boundaryKind   = "boundary"
)

// EncodeBatch returns the bytes of a publication, in the format that it says, and
// their digest.
func EncodeBatch(b *Batch) ([]byte, string, error) {
	raw, err := envelope.Encode(batchKind, max(1, b.Format), b)
	if err != nil {
		return nil, "", err
	}
	return raw, envelope.Digest(raw), nil
}

// DecodeBatch parses the object at key, which must be the publication that the
// name says. It returns the digest of the object's bytes. Errors are *ObjectError.
func DecodeBatch(key string, raw []byte) (*Batch, string, error) {
	return decodeBatch(key, raw, Format)
}

func decodeBatch(key string, raw []byte, newest int) (_ *Batch, _ string, err error) {
	var b Batch
	if b.Format, err = envelope.Decode(batchKind, newest, raw, &b); err != nil {
		return nil, "", objectError(key, err)
	}
	if Key(b.Number) != key {
		return nil, "", objectError(key, fmt.Errorf("%w: it says that it is publication %d", envelope.ErrMalformed, b.Number))
	}
	return &b, envelope.Digest(raw), nil
}

// EncodeCheckpoint returns the bytes of a full state, in the store's format.
func EncodeCheckpoint(s *State) ([]byte, error) {
	return envelope.Encode(checkpointKind, s.Level(), s)
}

// DecodeCheckpoint parses the object at key. Errors are *ObjectError.
func DecodeCheckpoint(key string, raw []byte) (*State, error) {
	return decodeCheckpoint(key, raw, Format)
}

func decodeCheckpoint(key string, raw []byte, newest int) (*State, error) {
	s := NewState("")
	if _, err := envelope.Decode(checkpointKind, newest, raw, s); err != nil {
		return nil, objectError(key, err)
	}
	if CheckpointKey(s.Version) != key {
		return nil, objectError(key, fmt.Errorf("%w: it says that it is checkpoint %d", envelope.ErrMalformed, s.Version))
	}
	s.reindex()
	return s, nil
}

func objectError(key string, err error) *ObjectError {
	e := &ObjectError{Key: key, Err: err}
	var newer *envelope.FormatError
	if !errors.As(err, &newer) {
		e.Hint = "restore this object from a copy or an older bucket version; nothing was changed"
	}
	return e
}
