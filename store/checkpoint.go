// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store/log"
)

// checkpoint is what became of one try to publish.
type checkpoint struct {
	// result is zero when nothing had changed.
	result   recovery.Result
	position log.Position
	tables   []string
	err      error
}

// checkpointTries bounds how often one pass registers or issues again.
const checkpointTries = 4

// publish makes one checkpoint, if something changed. What it could not publish
// stays in the log and in memory: the next try takes it.
func (s *Store) publish(ctx context.Context, r *root) checkpoint {
	var c checkpoint
	for range checkpointTries {
		s.note(r)
		snap := s.tables.changed()
		if len(snap.tables) == 0 {
			return checkpoint{}
		}
		if err := s.secure(snap.position); err != nil {
			return checkpoint{err: err}
		}
		c = s.commit(ctx, r, snap)
		var required *recovery.RequiredError
		switch {
		case c.err == nil:
			s.note(r)
			s.contains(r, c)
			return c
		case errors.As(c.err, &required):
			// A pending operation holds a table back, and with it the whole checkpoint.
			if r.recoverer == nil || s.recover(ctx, r) != nil {
				return c
			}
		case errors.Is(c.err, manifest.ErrFenced):
			if err := r.writer.Register(ctx); err != nil {
				c.err = err
				return c
			}
			s.signal.Notify()
		default:
			// ErrFailed: never visible; the next pass issues it again, under a new id.
			// ErrUnknown, or a root that is not reached: the next pass looks at the manifest.
			return c
		}
	}
	return c
}

// commit publishes a snapshot in one operation.
func (s *Store) commit(ctx context.Context, r *root, snap snapshot) checkpoint {
	op := recovery.Operation{Kind: recovery.KindCheckpoint}
	for _, name := range snap.names() {
		// Before anything is armed, as far as the manifest was read; Change.Write looks again.
		id := s.names.id(name)
		if err := s.replaces(ctx, r, id, r.manifest.View().Ref(id)); err != nil {
			return checkpoint{err: err}
		}
		op.Changes = append(op.Changes, s.change(r, snap, name))
	}
	result, err := r.writer.Commit(ctx, op)
	return checkpoint{result: result, position: snap.position, tables: snap.names(), err: err}
}

// note takes over what the manifest says of the own tables; it makes no request.
func (s *Store) note(r *root) {
	pins, covered := s.own(r.manifest.View())
	s.tables.published(pins)
	s.cover(covered)
	s.heed(r.manifest.View().Lock)
}

// truncate removes the part of the log that the root covers, after it has read
// back what the root has instead, and after the log has a note of it: who finds an older
// checkpoint in the root later knows that it is not the one that was.
func (s *Store) truncate(ctx context.Context, r *root, l *log.Log) error {
	if _, covered := s.own(r.manifest.View()); !l.Truncatable(log.Position(covered)) {
		return nil
	}
	covered, err := s.readPinsBack(ctx, r)
	if err != nil {
		return err
	}
	return s.cut(l, log.Position(covered))
}

// readPinsBack reads the pinned versions that were not read yet, and returns the
// position that all of them cover.
func (s *Store) readPinsBack(ctx context.Context, r *root) (manifest.Position, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	pins, covered := s.own(r.manifest.View())
	for name, pin := range pins {
		if r.readBack[name] == pin.Ref {
			continue
		}
		rest := &breather{now: s.opt.Now, sleep: s.opt.Sleep}
		if err := checkVersion(ctx, rest, r.manifest.Bucket(), r.manifest.Identity().UID, s.names.id(name), pin); err != nil {
			return 0, fmt.Errorf("read table %s back before the log is truncated: %w", name, err)
		}
		r.readBack[name] = pin.Ref
	}
	return covered, nil
}

// cut removes what the root has up to p from the log, whose note of that is durable
// before.
func (s *Store) cut(l *log.Log, p log.Position) error {
	s.cutting.Lock()
	defer s.cutting.Unlock()
	if err := l.Checkpoint(p); err != nil {
		return fmt.Errorf("note the checkpoint before the log is truncated: %w", err)
	}
	return l.Truncate(p)
}

// look reads the manifest, and registers again if it shows a fence.
func (s *Store) look(ctx context.Context, r *root) error {
	st, err := r.manifest.Latest(ctx)
	if err != nil {
		return err
	}
	defer s.note(r)
	if st.Writers[s.opt.Writer] == r.writer.Epoch() {
		return nil
	}
	defer s.signal.Notify()
	return r.writer.Register(ctx)
}
