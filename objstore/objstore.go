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

// maxSegment is the most bytes between two slashes of a key: NAME_MAX of Linux.
const maxSegment = 255

var (
	// ErrNotFound is wrapped by every driver when a key does not exist.
	ErrNotFound = errors.New("object not found")
	// ErrTooLarge is returned for a body above MaxObject: for a put, nothing was
	// sent; for a get, nobody who keeps to this package wrote that object.
	ErrTooLarge = errors.New("object exceeds 8 MiB")
	// ErrInvalidKey is returned for a key that CheckKey refuses; nothing was sent.
	ErrInvalidKey = errors.New("invalid object key")
	// ErrInvalidRange is returned for a negative offset or a length below 1; nothing was sent.
	ErrInvalidRange = errors.New("invalid range")
	// ErrAccessDenied is wrapped when the store refuses these credentials. Trying
	// again does not help; a person has to grant the right or correct the key.
	ErrAccessDenied = errors.New("access denied by the object store")
	// ErrNoSuchBucket is wrapped when the bucket, or the directory of a file://
	// root, is not there. It is never reported as an empty listing.
	ErrNoSuchBucket = errors.New("no such bucket")
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
	// Get returns the whole object. ErrNotFound when the key is absent,
	// ErrTooLarge for an object above MaxObject, which is not read. A read that
	// begins after a put was answered Created sees it.
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
// segments and with at most 255 bytes in a segment (a file name has no more).
// Every driver calls it first, so that a key means the same everywhere.
//
// What one key cannot show is for the caller to keep: no key is a directory of
// another ("a" and "a/b"). Stores that live on a file system refuse the second.
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
		default:
			if len(seg) > maxSegment {
				return fmt.Errorf("%w: %q: a segment has %d bytes, at most %d", ErrInvalidKey, key, len(seg), maxSegment)
			}
		}
		start = i + 1
	}
	return nil
}

// CheckPut returns the error that PutIfAbsent gives, with Retry, for a key or a
// body that is never sent: ErrInvalidKey, ErrTooLarge.
func CheckPut(key string, body []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if len(body) > MaxObject {
		return fmt.Errorf("put %s: %w: %d bytes", key, ErrTooLarge, len(body))
	}
	return nil
}

// CheckGet returns the error that Get gives for an object of size bytes: ErrTooLarge.
// Read whole, an object of some gigabytes that somebody put there would end the process.
func CheckGet(key string, size int64) error {
	if size > MaxObject {
		return fmt.Errorf("get %s: %w: at least %d bytes: it was not written by salvor", key, ErrTooLarge, size)
	}
	return nil
}

// CheckRange returns an error for a key or a range that GetRange does not take:
// off is at least 0 and n at least 1.
func CheckRange(key string, off, n int64) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if off < 0 || n < 1 {
		return fmt.Errorf("get range %s: %w: offset %d, length %d", key, ErrInvalidRange, off, n)
	}
	return nil
}
