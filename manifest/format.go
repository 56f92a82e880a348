// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore/envelope"
)

// A store has one format level. Every process writes what the level allows, not
// what it could write: so an older release can be put back for as long as nobody
// has raised the level.
//
//	                 level 1                        level 2
//	manifest   41 ──── 42 ────────── 43 ─────────── 44 ────▶
//	format      1       1             2              2
//	                            "format": 2
//	knows 1    reads   reads    refuses: *envelope.FormatError in *ObjectError
//	knows 1, 2 reads   reads    reads               reads
//	writes      1       1             2              2
//
// The publication that raises the level is the first one in the new format. A
// process that does not know it cannot read that number, so it cannot name it as
// the parent of the next one: it stops there, and overwrites nothing.

// Format is the newest format level that this salvor reads and writes.
const Format = 1

// The formats of the objects of this package, besides publications and
// checkpoints, whose format is the store's level itself.
var (
	identityFormats = envelope.Formats{1}
	boundaryFormats = envelope.Formats{1}
	readerFormats   = envelope.Formats{1}
)

// ErrFormatLower is wrapped when a store's format level would go down. It never
// does: somebody may have written what the lower one cannot say.
var ErrFormatLower = errors.New("a format level is never lowered")

// Level returns the format level of the store, from 1.
func (s *State) Level() int { return max(1, s.Format) }

// levelAfter is the format of the publication that adds these entries: what raises
// the level is itself the first of its format.
func (s *State) levelAfter(entries []Entry) int {
	level := s.Level()
	for i := range entries {
		if entries[i].Kind == KindFormat {
			level = max(level, entries[i].Format)
		}
	}
	return level
}

// RaiseFormat raises the store's format level, once every process that reads or
// writes the store knows it. The root must be at version expect: what the caller
// looked at is what is raised. At that level already: success, nothing published.
//
// Errors, besides those of Publish: *envelope.FormatError when this salvor does
// not know the level itself, ErrFormatLower, *IdentityError when the root has
// moved on from expect.
func (s *Store) RaiseFormat(ctx context.Context, by Publisher, level int, expect Version) (Published, error) {
	if level > s.formats() {
		return Published{}, &envelope.FormatError{Kind: batchKind, Found: level, Max: s.formats()}
	}
	return s.Publish(ctx, Publication{By: by, Entries: []Entry{{Kind: KindFormat, Format: level, Base: expect}}})
}

// Formats returns the newest format level that this store reads and writes.
func (s *Store) Formats() int { return s.formats() }

func (s *Store) formats() int {
	if s.opt.formats > 0 {
		return s.opt.formats
	}
	return Format
}

func (s *State) checkFormat(e *Entry) (done bool, err error) {
	switch {
	case e.Format == s.Level():
		return true, nil
	case e.Format < s.Level():
		return false, fmt.Errorf("from %d to %d: %w", s.Level(), e.Format, ErrFormatLower)
	case e.Base != s.Version:
		return false, &IdentityError{
			Why:  fmt.Sprintf("the root is at version %d, not %d", s.Version, e.Base),
			Hint: "look again with `salvor manifest format` whether every process knows the new format, and expect the version that it shows",
		}
	}
	return false, nil
}
