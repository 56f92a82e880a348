// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/mirror"
)

// MirrorOptions say how the log is mirrored. Every zero value is good.
type MirrorOptions struct {
	// Interval is how long something acknowledged waits at most before it is sent: what a
	// lost disk costs. Default 5 s.
	Interval time.Duration
	// KeepLocal is how much of the log stays on the disk, in bytes, when only the mirror
	// has it besides. Default 64 MiB.
	KeepLocal int64
	// RangeSize, SnapshotAfter, CollectAfter and PartSize: see mirror.Options.
	RangeSize, PartSize         int
	SnapshotAfter, CollectAfter int64
}

// mirroring is the mirror of this process.
type mirroring struct {
	mu sync.Mutex
	m  *mirror.Mirror // nil: there is none
	// cancel ends it, and done is closed then; nil: it does not run.
	cancel context.CancelFunc
	done   chan struct{}
	// failure is why it ended by itself; said what a person was told last.
	failure, said string
	// restored is the position that the start took from the root.
	restored log.Position
}

// beginMirror begins the mirror of the epoch that is registered, behind the history in the
// root. first is where the local log begins; broken: the history is of no use, and is not
// needed.
func (s *Store) beginMirror(ctx context.Context, r *root, covered manifest.Position, first log.Position, broken bool) error {
	o := s.opt.Mirror
	if o == nil {
		return nil
	}
	epoch := r.writer.Epoch()
	m, err := mirror.Start(ctx, mirror.Options{
		Bucket: r.manifest.Bucket(), Log: lateLog{s}, Store: r.manifest.Identity().UID,
		Writer: string(s.opt.Writer), Process: string(s.opt.Process), Epoch: epoch.Number,
		Interval: o.Interval, RangeSize: o.RangeSize, SnapshotAfter: o.SnapshotAfter, CollectAfter: o.CollectAfter, PartSize: o.PartSize,
		Snapshot: s.tables.snapshotAll,
		Covered: func() log.Position {
			_, covered := s.own(r.manifest.View())
			return log.Position(covered)
		},
		Proven: func(ctx context.Context) (log.Position, error) {
			covered, err := s.readPinsBack(ctx, r)
			return log.Position(covered), err
		},
		Reigns: func(ctx context.Context) error {
			st, err := r.manifest.Latest(ctx)
			if err == nil && st.Writers[s.opt.Writer] != epoch {
				err = fmt.Errorf("epoch %s is over: %s is registered", epoch, st.Writers[s.opt.Writer])
			}
			return err
		},
		Changed: s.signal.Notify, Now: s.opt.Now, After: s.opt.After, Sleep: s.opt.Sleep, Await: s.opt.Await,
	}, r.inventory, r.history, r.history.Join(log.Position(covered), first, broken))
	if errors.Is(err, objstore.ErrAccessDenied) {
		// Rights of before there was a mirror: the store serves as it did.
		s.complain(fmt.Sprintf("nothing is mirrored: %v: let this store's credentials create and delete below %s and %s, or turn the mirror off",
			err, mirror.RangePrefix, mirror.SnapshotPrefix))
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin the mirror: %w", err)
	}
	w := &s.mirroring
	w.mu.Lock()
	defer w.mu.Unlock()
	w.m, w.failure = m, ""
	return nil
}

// lateLog is the log, which is opened for reading when the start is over.
type lateLog struct{ s *Store }

func (l lateLog) From(p log.Position) *log.Cursor { return l.s.log.Load().From(p) }

func (l lateLog) Status() log.Status { return l.s.log.Load().Status() }

// runMirror lets the mirror run that was begun, if there is one and it does not.
func (s *Store) runMirror(ctx context.Context) {
	w := &s.mirroring
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil || w.cancel != nil {
		return
	}
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	m, done := w.m, make(chan struct{})
	w.done = done
	go func() {
		defer close(done)
		if err := m.Run(ctx, func(ctx context.Context) { s.relieve(ctx, m) }); err != nil {
			w.mu.Lock()
			w.failure = err.Error()
			w.mu.Unlock()
			s.opt.Report(fmt.Sprintf("nothing is mirrored any more: %v", err))
			s.signal.Notify()
		}
	}()
}

// stopMirror ends the mirror and waits for that.
func (s *Store) stopMirror() {
	w := &s.mirroring
	w.mu.Lock()
	cancel, done := w.cancel, w.done
	w.cancel, w.m = nil, nil
	w.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

// rejoin begins the mirror of a new epoch of this process: the old one was fenced. No
// checkpoint waits for it.
func (s *Store) rejoin(ctx context.Context, r *root, l *log.Log) {
	w := &s.mirroring
	w.mu.Lock()
	m := w.m
	w.mu.Unlock()
	if s.opt.Mirror == nil || m != nil && m.Status().Epoch == r.writer.Epoch().Number {
		return
	}
	if err := s.meet(ctx, r, l, l.Durable()); err != nil {
		s.complain(fmt.Sprintf("nothing is mirrored until the next try: %v", err))
		return
	}
	s.runMirror(ctx)
}

// relieve cuts the log up to where the root has it, when more of it is on the disk than
// there should be. A failure leaves more than that.
func (s *Store) relieve(ctx context.Context, m *mirror.Mirror) {
	l, keep := s.log.Load(), s.opt.Mirror.KeepLocal
	if keep == 0 {
		keep = 64 << 20
	}
	if l.Status().Bytes <= keep || !l.Truncatable(m.Status().Mirrored) {
		return
	}
	p, err := m.Settled(ctx)
	if p > 0 && l.Truncatable(p) {
		err = errors.Join(err, s.cut(l, p))
	}
	if err != nil && ctx.Err() == nil {
		s.complain(fmt.Sprintf("the log stays longer than it should be: %v", err))
	}
}

// complain tells a person what comes again and again, once.
func (s *Store) complain(words string) {
	w := &s.mirroring
	w.mu.Lock()
	again := w.said == words
	w.said = words
	w.mu.Unlock()
	if !again {
		s.opt.Report(words)
	}
}

// ErrNotMirrored is returned where nothing mirrors the log: Options.Mirror is nil, or the
// root was not reached yet.
var ErrNotMirrored = errors.New("nothing mirrors the log")

// Mirror mirrors now everything that is acknowledged, and returns when the root has it.
func (s *Store) Mirror(ctx context.Context) error {
	w := &s.mirroring
	w.mu.Lock()
	m := w.m
	w.mu.Unlock()
	if m == nil {
		return ErrNotMirrored
	}
	if err := m.Sync(ctx); err != nil {
		return err
	}
	s.relieve(ctx, m)
	return nil
}

// mirrorRest mirrors, beside the last checkpoint, what that may not take. end ends it, and
// returns what the root has then.
func (s *Store) mirrorRest(ctx context.Context) (end func() manifest.Position) {
	w := &s.mirroring
	w.mu.Lock()
	m := w.m
	w.mu.Unlock()
	if m == nil {
		return func() manifest.Position { return 0 }
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- m.Sync(ctx) }()
	return func() manifest.Position {
		cancel()
		<-done
		return manifest.Position(m.Status().Mirrored)
	}
}

// mirrorStatus is what the control status says; nil: nothing mirrors the log.
func (s *Store) mirrorStatus() *control.Mirror {
	w := &s.mirroring
	w.mu.Lock()
	m, failure, restored := w.m, w.failure, w.restored
	w.mu.Unlock()
	if m == nil && restored == 0 {
		return nil
	}
	st := control.Mirror{Restored: uint64(restored), Waiting: failure}
	if m != nil {
		is := m.Status()
		st.Position, st.Bytes = uint64(is.Mirrored), is.Bytes
		if failure == "" {
			st.Waiting = is.Failure
		}
	}
	return &st
}
