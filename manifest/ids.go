// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"strconv"
)

// ErrInvalidID is wrapped when an identifier has a length or a character that
// would not survive as a part of an object's name.
var ErrInvalidID = errors.New("invalid identifier")

type (
	// Version numbers the manifest's publications from 1. 0 is the empty store.
	Version uint64
	// Position is a place in a writer's local log, in that log's own units. The
	// manifest carries it and never interprets it.
	Position uint64
	// OperationID names one operation of one writer, for ever (a ULID, usually).
	OperationID string
	// WriterID names a writer across its restarts (a pod's stable name, usually).
	WriterID string
	// ProcessID names one incarnation of a writer or a recoverer.
	ProcessID string
	// TableID names a table of the store.
	TableID string
)

// String returns the version as it stands in object names: 20 digits.
func (v Version) String() string {
	var digits [20]byte // every request to the object store has one in its key
	for i, n := len(digits)-1, uint64(v); i >= 0; i, n = i-1, n/10 {
		digits[i] = byte('0' + n%10)
	}
	return string(digits[:])
}

// ParseVersion is the inverse of Version.String; it takes 20 digits and nothing else.
func ParseVersion(s string) (Version, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || len(s) != 20 {
		return 0, fmt.Errorf("%w: version %q: want 20 digits", ErrInvalidID, s)
	}
	return Version(n), nil
}

// Epoch is one reign of a writer: a number that only grows and the process that
// registered it. Process is empty after a fence: the number belongs to nobody.
// Two epochs are the same only if both parts are.
type Epoch struct {
	Number  uint64    `json:"number"`
	Process ProcessID `json:"process,omitempty"`
}

// IsZero reports whether the writer was never registered.
func (e Epoch) IsZero() bool { return e == Epoch{} }

// Fenced reports whether a fence, and not a registration, made this epoch.
func (e Epoch) Fenced() bool { return e.Number != 0 && e.Process == "" }

// String returns number and process, for people.
func (e Epoch) String() string {
	if e.Process == "" {
		return fmt.Sprintf("%d(fenced)", e.Number)
	}
	return fmt.Sprintf("%d(%s)", e.Number, e.Process)
}

// Validate checks the characters and length of an operation id: 1 to 64 of
// letters, digits, "-" and "_", so that "<op>.confirmed" can be told from it.
func (o OperationID) Validate() error { return checkID("operation id", string(o), 64, "-_") }

// Validate checks a writer id: 1 to 253 of letters, digits and "-_.".
func (w WriterID) Validate() error { return checkID("writer id", string(w), 253, "-_.") }

// Validate checks a table id: 1 to 128 of letters, digits and "-_.".
func (t TableID) Validate() error { return checkID("table id", string(t), 128, "-_.") }

// Validate checks a process id: 1 to 64 of letters, digits and "-_".
func (p ProcessID) Validate() error { return checkID("process id", string(p), 64, "-_") }

func checkID(what, s string, most int, extra string) error {
	if s == "" || len(s) > most || s == "." || s == ".." {
		return fmt.Errorf("%w: %s %q: want 1 to %d characters", ErrInvalidID, what, s, most)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		default:
			ok := false
			for j := 0; j < len(extra); j++ {
				ok = ok || c == extra[j]
			}
			if !ok {
				return fmt.Errorf("%w: %s %q: character %q is not allowed", ErrInvalidID, what, s, c)
			}
		}
	}
	return nil
}
