// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// MaxObject is the largest body, in bytes, that PutIfAbsent takes. A conditional
// put is one request; larger state is stored as parts and one small object that
// names them.
const MaxObject = 8 << 20

var (
	// ErrNotFound is wrapped by every driver when a key does not exist.
	ErrNotFound = errors.New("object not found")
	// ErrTooLarge is returned for a body above MaxObject; nothing was sent.
	ErrTooLarge = errors.New("object exceeds 8 MiB")
	// ErrInvalidKey is returned for a key that CheckKey refuses; nothing was sent.
	ErrInvalidKey = errors.New("invalid object key")
)

// Outcome is what a conditional put came to.
type Outcome uint8

const (
	// OutcomeInvalid is the zero value and never returned.
	OutcomeInvalid Outcome = iota
	// Created: the object is there with exactly these bytes, durable.
	Created
	// Exists: the key was taken before; its bytes were not changed.
	Exists
	// Retry: proven that nothing landed and nothing will. Sending the same bytes again is right.
	Retry
	// Unknown: the answer was lost. The bytes may be there now, later or never.
	Unknown
)

// String returns the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Created:
		return "Created"
	case Exists:
		return "Exists"
	case Retry:
		return "Retry"
	case Unknown:
		return "Unknown"
	default:
		return fmt.Sprintf("Outcome(%d)", uint8(o))
	}
}

// PutResult is the answer to one conditional put.
type PutResult struct {
	Outcome Outcome
	// Date is the object store's own clock when it answered (for file and memory:
	// the host's clock); zero when the outcome is Unknown.
	Date time.Time
}

// Object is a body with what the store said about it.
type Object struct {
	Key  string
	Body []byte
	// Modified is when the object was created, by the object store's clock.
	Modified time.Time
	// Date is the object store's own clock when it answered.
	Date time.Time
}

// Entry is one line of a listing.
type Entry struct {
	Key      string
	Size     int64
	Modified time.Time
}

// Bucket is an object store, or a prefix in one, that never overwrites.
// Implementations are safe for concurrent use.
//
// Errors other than those named wrap the driver's own error with the key and
// the verb; a context that ended is visible to errors.Is.
type Bucket interface {
	// Get returns the whole object. ErrNotFound when the key is absent. A read
	// that begins after a put was answered Created sees it.
	Get(ctx context.Context, key string) (Object, error)

	// GetRange returns at most n bytes from offset off (n >= 1). A range that
	// begins at or past the end returns no bytes and no error. ErrNotFound when
	// the key is absent.
	GetRange(ctx context.Context, key string, off, n int64) ([]byte, error)

	// List yields the entries whose key begins with prefix and sorts after
	// `after` (exclusive; empty: from the start), in ascending byte order of the
	// keys. A failure is yielded as the last pair; a listing that failed is never
	// an empty listing. Keys are listed under the names that Get takes.
	List(ctx context.Context, prefix, after string) iter.Seq2[Entry, error]

	// PutIfAbsent creates the object if the key is absent, in one request.
	// attempt names this caller's attempt and is kept as metadata where the
	// backend has any; ownership is proved by ids inside the body.
	//
	// err is nil for Created and Exists; it carries the cause for Retry and
	// Unknown. A body over MaxObject or an invalid key is (Retry, error) with
	// ErrTooLarge or ErrInvalidKey: nothing was sent.
	PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (PutResult, error)

	// Delete removes the key. An absent key is success. After an error the
	// object may be gone or not.
	Delete(ctx context.Context, key string) error

	// Close releases connections. The bucket is not used afterwards.
	Close() error
}

// CheckKey returns an error wrapping ErrInvalidKey for a key that is not a clean,
// relative, printable ASCII path of at most 512 bytes without ".." or empty
// segments. Every driver calls it first, so that a key means the same everywhere.
func CheckKey(key string) error {
	if key == "" || len(key) > 512 {
		return fmt.Errorf("%w: %q: must have 1 to 512 bytes", ErrInvalidKey, key)
	}
	start := 0
	for i := 0; i <= len(key); i++ {
		if i < len(key) && key[i] != '/' {
			if c := key[i]; c <= ' ' || c >= 0x7f || c == '\\' {
				return fmt.Errorf("%w: %q: byte %d is not printable ASCII", ErrInvalidKey, key, i)
			}
			continue
		}
		switch seg := key[start:i]; seg {
		case "", ".", "..":
			return fmt.Errorf("%w: %q: segment %q", ErrInvalidKey, key, seg)
		}
		start = i + 1
	}
	return nil
}
