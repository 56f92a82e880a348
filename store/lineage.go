// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store/log"
)

// A checkpoint replaces a version by one that contains it. That holds while every
// version was made from one log; when a disk was lost or swapped it may not. So the
// data directory remembers the processes that ran on it, every version names the
// process that made it, and what was made elsewhere is taken in or left alone, never
// overwritten unseen.
//
//	pending, made elsewhere                        wait for its outcome, then start
//	pinned, made elsewhere, all of it before       loaded: the directory is a new one
//	  the log's first position
//	pinned, made elsewhere, positions overlap      refused: two histories of one writer
//	pinned meanwhile, made elsewhere               no checkpoint over it

// PendingError says that an operation of this writer pends that was made on another
// disk. Its outcome decides what the tables are, so nothing is served before.
type PendingError struct {
	Operation manifest.OperationID
	Key       string
	Process   manifest.ProcessID
}

// Error implements error.
func (e *PendingError) Error() string {
	return fmt.Sprintf("operation %s of this writer pends (object %s); process %s made it, with another data directory: "+
		"its outcome has to be known first: the operator resolves it, or run `salvor recover`", e.Operation, e.Key, e.Process)
}

// DivergedError says that a published version, or the mirror, and the local log are two
// histories of one writer.
type DivergedError struct {
	Mirror   bool // not a version: Table and Version are empty
	Table    manifest.TableID
	Version  manifest.Ref
	Position manifest.Position // that the version covers
	Process  manifest.ProcessID
	First    log.Position // in the log; zero when that does not matter
}

// Error implements error.
func (e *DivergedError) Error() string {
	if e.Mirror {
		return fmt.Sprintf("process %s mirrored this writer's log up to position %d from another data directory than this one (whose log has position %d): "+
			"two histories of one writer; nothing is overwritten: stop whatever else runs as this writer, and move this data directory away to go on from the root's state, "+
			"without what only this directory has", e.Process, e.Position, e.First)
	}
	return fmt.Sprintf("process %s published version %s of table %s, which covers position %d, from another data directory than this one (whose log begins with %d): "+
		"two histories of one writer; nothing is overwritten: stop whatever else runs as this writer, and move this data directory away to go on from the root's state, "+
		"without what only this directory has", e.Process, e.Version, e.Table, e.Position, e.First)
}

// ranHere reports whether a process used this data directory.
func (r *root) ranHere(p manifest.ProcessID) bool { return slices.Contains(r.here, p) }

// settle makes sure that nothing of this writer pends that was made elsewhere. It
// recovers by itself where it may.
func (s *Store) settle(ctx context.Context, r *root) error {
	for again := false; ; again = true {
		err := s.pendingElsewhere(ctx, r)
		var pending *PendingError
		if again || r.recoverer == nil || !errors.As(err, &pending) {
			return err
		}
		if err := s.recover(ctx, r); err != nil {
			return err
		}
	}
}

// pendingElsewhere looks for an operation on the own tables that was made elsewhere.
func (s *Store) pendingElsewhere(ctx context.Context, r *root) error {
	b := r.manifest.Bucket()
	listed, err := recovery.List(ctx, b)
	if err != nil {
		return err
	}
	for _, l := range listed {
		if l.Lone {
			continue
		}
		side, err := recovery.Get(ctx, b, l.Key)
		switch {
		case errors.Is(err, objstore.ErrNotFound), isUnreadable(err): // what cannot be read is never published
			continue
		case err != nil:
			return fmt.Errorf("read sidecar %s: %w", l.Key, err)
		}
		for _, t := range side.Tables {
			if _, own := s.names.owned(t.Table); own && !r.ranHere(side.Epoch.Process) {
				return &PendingError{Operation: side.Operation, Key: l.Key, Process: side.Epoch.Process}
			}
		}
	}
	return nil
}

func isUnreadable(err error) bool {
	var newer *envelope.FormatError
	var digest *envelope.DigestError
	return errors.Is(err, envelope.ErrMalformed) || errors.As(err, &newer) || errors.As(err, &digest)
}

// follows checks that the log goes on from a pinned version: it was made here, or
// before this directory was begun.
func (r *root) follows(table manifest.TableID, pin manifest.Pin, maker manifest.ProcessID, first log.Position) error {
	if r.ranHere(maker) || first > log.Position(pin.Position) || first == 0 {
		return nil
	}
	return &DivergedError{Table: table, Version: pin.Ref, Position: pin.Position, Process: maker, First: first}
}

// replaces checks that what this process has contains the version that is about to
// be replaced.
func (s *Store) replaces(ctx context.Context, r *root, table manifest.TableID, parent manifest.Ref) error {
	if parent.IsZero() || r.contained[table] == parent {
		return nil
	}
	pin := r.manifest.View().Tables[table]
	if pin.Ref != parent {
		return &manifest.ExpectedVersionMismatch{Table: table, Expected: parent, Actual: pin.Ref}
	}
	// Of the own past, or given up by this process, and published by a recoverer.
	v, err := readMain(ctx, r.manifest.Bucket(), r.manifest.Identity().UID, table, pin)
	if err != nil {
		return err
	}
	if !r.ranHere(v.Epoch.Process) {
		return &DivergedError{Table: table, Version: pin.Ref, Position: pin.Position, Process: v.Epoch.Process}
	}
	r.contained[table] = parent
	return nil
}

// contains notes what a checkpoint of this process has published.
func (s *Store) contains(r *root, c checkpoint) {
	pins := r.manifest.View().Tables
	for _, name := range c.tables {
		if pin := pins[s.names.id(name)]; pin.Operation == c.result.Operation {
			r.contained[s.names.id(name)] = pin.Ref
		}
	}
}
