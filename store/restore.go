// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/mirror"
)

// restoreTries bounds how often a restore begins again because an older process, which
// does not know yet that it is over, removed what was just listed.
const restoreTries = 4

// bridge brings the tables from what the checkpoints cover to where the local log begins,
// or to the end of the mirror when the disk has nothing. What the log has is always taken
// from the log. Then the mirror of this epoch begins.
func (s *Store) bridge(ctx context.Context, r *root, l *log.Log, covered manifest.Position) error {
	first := l.Unbroken()
	needed := first == 0 || first > log.Position(covered)+1
	if !needed && s.opt.Mirror == nil {
		return nil
	}
	var err error
	for range restoreTries {
		if err = s.lookAtMirror(ctx, r); err != nil && (needed || !mirror.IsDefect(err)) {
			return err
		}
		if err != nil {
			break // the disk and the checkpoints have everything
		}
		if err = s.foreignTo(r, covered, first); err != nil {
			return err
		}
		if !needed {
			break
		}
		var object *mirror.ObjectError
		if err = s.restore(ctx, r, covered, first); !errors.As(err, &object) || object.Defect != mirror.Missing {
			break
		}
	}
	if needed && err != nil {
		return err
	}
	if err != nil {
		s.opt.Report(fmt.Sprintf("the mirror is begun anew, since it cannot be used and is not needed: %v", err))
		r.history = mirror.History{Writer: string(s.opt.Writer)}
	}
	return s.beginOrAnew(ctx, r, covered, first, err != nil, needed)
}

// beginOrAnew begins the mirror of this epoch behind the history, or behind the checkpoints
// where that is of no use, and nothing of it was needed.
func (s *Store) beginOrAnew(ctx context.Context, r *root, covered manifest.Position, first log.Position, broken, needed bool) error {
	err := s.beginMirror(ctx, r, covered, first, broken)
	if needed || !mirror.IsDefect(err) {
		return err
	}
	s.opt.Report(fmt.Sprintf("the mirror is begun anew, since it cannot be used and is not needed: %v", err))
	r.history = mirror.History{Writer: string(s.opt.Writer)}
	return s.beginMirror(ctx, r, covered, first, true)
}

// lookAtMirror reads what the root has of the mirror.
func (s *Store) lookAtMirror(ctx context.Context, r *root) error {
	inv, err := mirror.Look(ctx, r.manifest.Bucket(), r.manifest.Identity().UID, string(s.opt.Writer))
	if err != nil {
		return err
	}
	r.inventory = inv
	r.history, err = mirror.Decide(inv)
	return err
}

// foreignTo checks that what the mirror has of positions which the local log has, too, or
// goes on from, was written here.
func (s *Store) foreignTo(r *root, covered manifest.Position, first log.Position) error {
	if first == 0 {
		return nil
	}
	behind := max(log.Position(covered), first-1)
	if p, elsewhere := r.history.Made(behind, func(process string) bool { return r.ranHere(manifest.ProcessID(process)) }); elsewhere {
		return &DivergedError{Mirror: true, Position: manifest.Position(p.To), Process: manifest.ProcessID(p.Process), First: first}
	}
	return nil
}

// restore reads from the mirror what neither the checkpoints nor the local log have.
func (s *Store) restore(ctx context.Context, r *root, covered manifest.Position, first log.Position) error {
	upTo := r.history.End
	if first > 0 {
		upTo = first - 1
	}
	if upTo <= log.Position(covered) {
		s.restored(first, covered, covered)
		return nil
	}
	if upTo > r.history.End {
		return &GapError{Covered: max(covered, manifest.Position(r.history.End)), First: first}
	}
	if err := s.read(ctx, r, log.Position(covered), upTo); err != nil {
		return fmt.Errorf("restore from the mirror: %w", err)
	}
	s.restored(first, covered, manifest.Position(upTo))
	return nil
}

// restored tells a person up to where an empty disk was filled.
func (s *Store) restored(first log.Position, covered, upTo manifest.Position) {
	if first > 0 || upTo == 0 {
		return
	}
	w := &s.mirroring
	w.mu.Lock()
	again := w.restored == log.Position(upTo)
	w.restored = log.Position(upTo)
	w.mu.Unlock()
	if !again {
		s.opt.Report(fmt.Sprintf("the data directory was empty: restored from the root up to position %d (the checkpoints cover %d, the rest is of the mirror); "+
			"what was acknowledged behind it is gone with the old directory", upTo, covered))
	}
}

// read brings the tables from one position to another, from the newest snapshot and the
// ranges behind it. A snapshot that is damaged is passed over when something older will do.
func (s *Store) read(ctx context.Context, r *root, from, upTo log.Position) error {
	in := mirror.Reader{Bucket: r.manifest.Bucket(), Store: r.manifest.Identity().UID, Writer: string(s.opt.Writer)}
	var passed []mirror.SnapshotName
	var bad error
	for {
		plan, err := r.history.Plan(from, upTo, passed...)
		if err != nil {
			return cmp.Or(bad, err)
		}
		if plan.Base != nil {
			err := s.loadSnapshot(ctx, in, *plan.Base)
			if mirror.IsDefect(err) {
				s.opt.Report(fmt.Sprintf("a snapshot is passed over: %v", err))
				passed, bad = append(passed, *plan.Base), err
				continue
			}
			if err != nil {
				return err
			}
		}
		err = in.Ranges(ctx, plan.Ranges, plan.At, func(p log.Position, raw []byte) error {
			if p > upTo {
				return nil
			}
			return s.again(p, raw)
		})
		if err == nil {
			s.tables.reaches(upTo) // whatever the local log has of that, too
		}
		return err
	}
}

// behind is for a local log that ends before the mirror does: an older copy of the disk.
// What it has to the end was made here, or by nobody; the mirror has the rest.
func (s *Store) behind(ctx context.Context, r *root, covered manifest.Position, last log.Position, newest []byte) error {
	upTo := r.history.End
	s.opt.Report(fmt.Sprintf("the log ends with position %d, and the mirror in the root with %d: the data directory is an older copy; the rest is taken from the mirror", last, upTo))
	for try := 0; ; try++ {
		err := s.sameAs(ctx, r, last, newest)
		if err == nil {
			err = s.read(ctx, r, max(last, log.Position(covered)), upTo)
		}
		if err == nil || isRefusal(err) || ctx.Err() != nil {
			return err
		}
		s.say(fmt.Sprintf("not serving yet: %v", err))
		if err := s.pause(ctx, s.backoff(try)); err != nil {
			return err
		}
	}
}

// sameAs checks that the mirror has the same at a position as the local log.
func (s *Store) sameAs(ctx context.Context, r *root, at log.Position, newest []byte) error {
	in := mirror.Reader{Bucket: r.manifest.Bucket(), Store: r.manifest.Identity().UID, Writer: string(s.opt.Writer)}
	for _, p := range r.history.Parts {
		i := slices.IndexFunc(p.Ranges, func(n mirror.Name) bool { return n.First <= at && at <= n.Last })
		if i < 0 || newest == nil {
			continue
		}
		err := in.Ranges(ctx, p.Ranges[i:i+1], at-1, func(q log.Position, raw []byte) error {
			if q == at && !bytes.Equal(raw, newest) {
				return &DivergedError{Mirror: true, Position: manifest.Position(p.To), Process: manifest.ProcessID(p.Process), First: at}
			}
			return nil
		})
		if err != nil && !errors.Is(err, objstore.ErrNotFound) {
			return err
		}
	}
	return nil
}

// meet begins the mirror of a process that serves already: it started without the root,
// or was fenced. began is where its log ended then.
func (s *Store) meet(ctx context.Context, r *root, l *log.Log, began log.Position) error {
	if s.opt.Mirror == nil {
		return nil
	}
	_, covered := s.own(r.manifest.View())
	err := s.lookAtMirror(ctx, r)
	if err != nil && !mirror.IsDefect(err) {
		return err
	}
	if err == nil {
		if r.history.End > max(began, log.Position(covered)) {
			return &AheadError{Covered: manifest.Position(r.history.End), Durable: began}
		}
		if err := s.foreignTo(r, covered, l.Unbroken()); err != nil {
			return err
		}
	} else {
		s.opt.Report(fmt.Sprintf("the mirror is begun anew, since it cannot be used: %v", err))
		r.history = mirror.History{Writer: string(s.opt.Writer)}
	}
	s.stopMirror()
	return s.beginOrAnew(ctx, r, covered, l.Unbroken(), err != nil, l.Unbroken() > log.Position(covered)+1)
}
