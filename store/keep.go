// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store/log"
)

// keep makes checkpoints until the process is told to end. began is where the log
// ended when this process started.
func (s *Store) keep(ctx context.Context, began log.Position) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a checkpoint under way gets as long as Shutdown has
		select {
		case <-s.draining:
		case <-ctx.Done():
			return
		}
		select {
		case <-s.drained.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	when := schedule{opt: &s.opt, every: s.interval, due: s.opt.Now().Add(s.opt.Checkpoint)}
	if r := s.root.Load(); r == nil || r.recoverer != nil {
		when.due = s.opt.Now() // somebody has to be reached, or something to be recovered
	}
	for {
		var reply chan<- checkpoint
		select {
		case <-s.opt.After(when.next()):
		case <-s.nudge:
			when.nudged()
			continue
		case reply = <-s.requests:
		case <-s.draining:
			s.last(ctx, began)
			return nil
		case <-ctx.Done():
			return nil
		}
		publish := reply != nil || when.publish()
		c, publish := s.pass(ctx, began, publish)
		if reply != nil {
			reply <- c
		}
		if fatal(c.err) {
			return c.err
		}
		when.passed(publish, c.err != nil, s.backoff(when.failures), s.waits())
	}
}

// pass reaches the root if it was not reached yet, and makes a checkpoint or only
// looks at the manifest. It reports whether it was for a checkpoint in the end.
func (s *Store) pass(ctx context.Context, began log.Position, publish bool) (checkpoint, bool) {
	r, err := s.reach(ctx, began)
	if err == nil && s.obey(ctx, r) {
		publish = true
	}
	if err == nil && !publish {
		err = s.look(ctx, r)
	}
	if err == nil {
		err = s.expire(ctx, r)
	}
	s.harden()
	c := checkpoint{err: err}
	if err == nil && publish {
		since := s.opt.Now()
		if c = s.publish(ctx, r); c.err != nil || c.result.Operation != "" {
			s.meters.checkpoint(s.opt.Now().Sub(since), c.err)
		}
		if c.err == nil {
			if err := errors.Join(s.truncate(ctx, r, s.log.Load()), s.trim(ctx, r)); err != nil {
				s.opt.Report(err.Error()) // what was published stands; next time
			}
		}
	}
	if r != nil {
		s.rejoin(ctx, r, s.log.Load())
	}
	switch {
	case c.err != nil && ctx.Err() == nil:
		s.say(fmt.Sprintf("the checkpoint waits: %v", c.err))
	case c.err == nil && publish:
		s.say("")
	}
	return c, publish
}

// reach returns the root, reaching it and recovering in it first if that was not
// done at the start.
func (s *Store) reach(ctx context.Context, began log.Position) (*root, error) {
	r := s.root.Load()
	if r == nil {
		var err error
		if r, err = s.attach(ctx); err != nil {
			return nil, err
		}
		if _, covered := s.own(r.manifest.View()); covered > manifest.Position(began) {
			return nil, &AheadError{Covered: covered, Durable: began}
		}
		if err := s.settle(ctx, r); err != nil {
			return nil, err
		}
		if err := s.meet(ctx, r, s.log.Load(), began); err != nil {
			return nil, err
		}
		s.root.Store(r)
		s.note(r)
		s.signal.Notify()
		s.runMirror(ctx)
	}
	if r.recoverer != nil && !r.settled {
		if err := s.recover(ctx, r); err != nil {
			return nil, err
		}
		r.settled = true
	}
	return r, nil
}

// fatal errors end the process.
func fatal(err error) bool {
	var ahead *AheadError
	return errors.Is(err, manifest.ErrSuperseded) || errors.As(err, &ahead)
}
