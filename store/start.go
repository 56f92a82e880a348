// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store/log"
)

// GapError says that the local log and the root do not meet: what lies between is
// nowhere. The store does not serve.
type GapError struct {
	Covered manifest.Position // by the root: its checkpoints, or its mirror
	First   log.Position      // in the log
}

// Error implements error.
func (e *GapError) Error() string {
	return fmt.Sprintf("the root covers this writer's log up to position %d, and the log begins with %d: what lies between is nowhere: "+
		"the root was restored from an older copy; restore a newer one, or move the data directory away to go on from the root's state", e.Covered, e.First)
}

// AheadError says that the root covers positions that this directory gave to
// other transactions, while the root could not be reached.
type AheadError struct {
	Covered manifest.Position
	Durable log.Position
}

// Error implements error.
func (e *AheadError) Error() string {
	return fmt.Sprintf("the root covers position %d, and the log ended at %d when this process started without the root: "+
		"the data directory is an older copy; what was acknowledged since the start is only in it: move it away and start from the root", e.Covered, e.Durable)
}

// Run takes the data directory, starts, serves and makes checkpoints until
// Shutdown or the end of ctx. nil means that it ended as it was told to. An error
// is for a person to see to: *log.CorruptError, *log.AlreadyOpenError,
// manifest.ErrSuperseded, *AheadError. A root that cannot be reached or used is none of
// them: it is reported, and tried again.
func (s *Store) Run(ctx context.Context) (err error) {
	defer close(s.done)
	if _, err := readBelonging(s.opt.FS, s.opt.Dir, s.opt.Writer); err != nil {
		return err
	}
	l, err := log.Open(filepath.Join(s.opt.Dir, "log"), log.Options{
		NewID: s.opt.NewLogID, Mode: s.opt.Sync, Interval: s.opt.SyncInterval, SegmentSize: s.opt.SegmentSize, BlockSize: s.opt.BlockSize, Spares: s.opt.Spares, After: s.opt.After, FS: s.opt.FS,
	})
	if err != nil {
		return err
	}
	s.opened.Store(l)
	defer func() {
		s.turnAway(&Refusal{Reason: ReasonDraining, Message: "the process is ending", RetryAfter: time.Second})
		// What the log is poisoned by was told to those who waited.
		if cerr := l.Close(); s.poison() == nil {
			err = errors.Join(err, cerr)
		}
	}()
	switch err := s.start(ctx, l); {
	case s.ended(ctx):
		s.unserved()
		return nil
	case err != nil:
		return err
	}
	s.log.Store(l)
	defer s.stopMirror()
	s.runMirror(ctx)
	s.gate.shut(nil)
	s.signal.Notify()
	return s.keep(ctx, l.Durable())
}

// ended reports whether the process was told to end.
func (s *Store) ended(ctx context.Context) bool {
	select {
	case <-s.draining:
		return true
	default:
		return ctx.Err() != nil
	}
}

// start fills the tables. While the root cannot be reached it waits, unless the
// log holds everything.
func (s *Store) start(ctx context.Context, l *log.Log) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.kept = readHold(s.opt.FS, s.opt.Dir)
	for try := 0; ; try++ {
		r, err := s.attach(ctx)
		if err == nil {
			err = s.settle(ctx, r)
		}
		if err == nil {
			err = s.load(ctx, r, l)
		}
		var covered manifest.Position
		switch {
		case err == nil:
			s.root.Store(r)
			_, covered = s.own(r.manifest.View())
			s.cover(covered)
			s.heed(r.manifest.View().Lock) // before the gate opens: a lock outlives its pods
			s.say("")
		case errors.Is(err, manifest.ErrSuperseded):
			return err
		case s.alone(l) && !isRefusal(err):
			s.tables.reset()
			s.heed(s.kept) // until the manifest can be read
			s.say(fmt.Sprintf("serving from the log alone: %v", err))
		default:
			// In this order: who reads the status is refused with the same reason.
			s.turnAway(&Refusal{Reason: ReasonStarting, Message: fmt.Sprintf("the store is starting: %v", err), RetryAfter: 2 * time.Second, Cause: err})
			s.say(fmt.Sprintf("not serving yet: %v", err))
			if err := s.pause(ctx, s.backoff(try)); err != nil {
				return err
			}
			continue
		}
		return s.replay(ctx, l, covered)
	}
}

// load reads what the root has of this writer's tables.
func (s *Store) load(ctx context.Context, r *root, l *log.Log) error {
	st, err := r.manifest.Latest(ctx)
	if err != nil {
		return err
	}
	pins, covered := s.own(st)
	s.tables.reset()
	for name, pin := range pins {
		v, err := readVersion(ctx, r.manifest.Bucket(), r.manifest.Identity().UID, s.names.id(name), pin)
		if err != nil {
			return fmt.Errorf("load table %s: %w", name, err)
		}
		if err := r.follows(v.Table, pin, v.Epoch.Process, l.First()); err != nil {
			return err
		}
		s.tables.load(name, pin, v.Rows)
		r.readBack[name], r.contained[v.Table] = pin.Ref, pin.Ref
	}
	return s.bridge(ctx, r, l, covered)
}

// replay brings the tables to the end of the log.
func (s *Store) replay(ctx context.Context, l *log.Log, covered manifest.Position) error {
	r, first, newest := s.root.Load(), l.First(), []byte(nil)
	last := max(l.Unbroken(), 1) - 1
	has := covered
	if r != nil {
		has = max(covered, manifest.Position(r.history.End))
	}
	err := l.Recover(log.Position(has)+1, func(p log.Position, raw []byte) error {
		last, newest = p, append(newest[:0], raw...)
		return s.again(p, raw)
	})
	if err != nil {
		return err
	}
	if first > 0 && log.Position(has) > max(last, log.Position(covered)) {
		if err := s.behind(ctx, r, covered, last, newest); err != nil {
			return err
		}
	}
	if noted := manifest.Position(l.Checkpointed()); noted > has && r != nil {
		s.opt.Report(fmt.Sprintf("the root covers this writer's log up to position %d, and a checkpoint up to %d was made from this directory: "+
			"the root is an older copy; everything was replayed from the log, and goes out with the next checkpoint", has, noted))
	}
	s.tables.reached(l.Durable())
	return nil
}

// again does what a record says that was read back.
func (s *Store) again(p log.Position, raw []byte) error {
	rec, err := decodeRecord(raw)
	if err != nil {
		return err
	}
	s.tables.replay(p, rec.Writes)
	s.order.Lock()
	defer s.order.Unlock()
	s.seen.add(rec.ID, remembered{digest: string(rec.Digest), position: p})
	return nil
}

// pause waits, no longer than until somebody says that the root has changed.
func (s *Store) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-s.opt.After(d):
		return nil
	case <-s.nudge:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// backoff is how long to wait after the n-th failure in a row, from 0.
func (s *Store) backoff(n int) time.Duration {
	d := min(200*time.Millisecond<<min(n, 10), 15*time.Second)
	return d/2 + time.Duration(s.opt.Jitter()*float64(d))
}

// turnAway shuts the gate and tells the streams.
func (s *Store) turnAway(why *Refusal) {
	s.gate.shut(why)
	s.signal.Notify()
}
