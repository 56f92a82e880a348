// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/store/log"
)

// Defect is what is wrong with an object. The words are shown; never rename one.
type Defect string

// The defects.
const (
	// Missing: an object that the history needs is not there.
	Missing Defect = "Missing"
	// Damaged: it is not what was written.
	Damaged Defect = "Damaged"
	// Newer: a newer salvor has written it.
	Newer Defect = "Newer"
	// Foreign: it belongs to another store, another writer or another history.
	Foreign Defect = "Foreign"
)

// ObjectError says that an object of the mirror is not as it should be. It concerns
// its writer, and nobody else.
type ObjectError struct {
	Key    string
	Defect Defect
	Err    error
}

// Error implements error.
func (e *ObjectError) Error() string {
	do := "restore this object from a copy or an older bucket version; or, to go on without what only the mirror has, " +
		"delete everything of this writer below " + RangePrefix + " and " + SnapshotPrefix
	switch e.Defect {
	case Newer:
		do = "run the newer salvor, with this data directory or an empty one"
	case Foreign:
		do = "it was copied here, or something else runs as this writer: stop that; then restore the object that was here, or delete this one"
	}
	return fmt.Sprintf("mirror object %s: %s: %v: %s", e.Key, e.Defect, e.Err, do)
}

// Unwrap returns the cause.
func (e *ObjectError) Unwrap() error { return e.Err }

// HoleError says that positions of the history are nowhere in the root.
type HoleError struct {
	Writer string
	// First and Last position that are missing, Base the one up to which the state is known.
	First, Last, Base log.Position
	// Near is the object behind the hole; it names the one before it. Empty: none is.
	Near string
}

// Error implements error.
func (e *HoleError) Error() string {
	near := ""
	if e.Near != "" {
		near = "; object " + e.Near + " names the one before it"
	}
	return fmt.Sprintf("the mirror of writer %s has a hole: positions %d to %d are missing, and the newest state before them is of position %d%s: "+
		"restore the missing objects from a copy or older bucket versions; or, to go on from position %d without what came later, "+
		"delete everything of this writer below %s and %s", e.Writer, e.First, e.Last, e.Base, near, e.Base, RangePrefix, SnapshotPrefix)
}

// TakenError says that an object of this process's own epoch is there with other bytes.
// Nothing is overwritten, and nothing more is mirrored under this epoch.
type TakenError struct{ Key string }

// Error implements error.
func (e *TakenError) Error() string {
	return fmt.Sprintf("mirror object %s is there with other bytes, though its name belongs to this process alone: the root was copied, or something writes "+
		"as this process: nothing was overwritten, and nothing more is mirrored: find out who wrote it, then restart this process, which begins anew", e.Key)
}

// damaged says what is wrong with an object that was read, or passes on why it was not.
func damaged(key string, err error) error {
	var newer *envelope.FormatError
	var digest *envelope.DigestError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, objstore.ErrNotFound):
		return &ObjectError{key, Missing, err}
	case errors.As(err, &newer):
		return &ObjectError{key, Newer, err}
	case errors.As(err, &digest):
		return &ObjectError{key, Damaged, fmt.Errorf("its body has %s, and its name or first line %s", digest.Got, digest.Want)}
	case errors.Is(err, envelope.ErrMalformed), errors.Is(err, objstore.ErrTooLarge):
		return &ObjectError{key, Damaged, err}
	}
	return fmt.Errorf("read mirror: %w", err)
}

func foreign(key, format string, args ...any) error {
	return &ObjectError{key, Foreign, fmt.Errorf(format, args...)}
}

// IsDefect reports whether the mirror was reached and is not as it should be.
func IsDefect(err error) bool {
	var object *ObjectError
	var hole *HoleError
	return errors.As(err, &object) || errors.As(err, &hole)
}

// isMissing reports whether an object was not there when it was read.
func isMissing(err error) bool {
	var object *ObjectError
	return errors.As(err, &object) && object.Defect == Missing
}
