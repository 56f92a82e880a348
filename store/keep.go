// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store/log"
)

// lookGap is the least time between two looks at the manifest that others asked
// for: whoever forges a refresh costs ten requests a second at most.
const lookGap = 100 * time.Millisecond

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
	failures, looked := 0, time.Time{}
	due := s.opt.Now().Add(s.opt.Checkpoint)
	if r := s.root.Load(); r == nil || r.recoverer != nil {
		due = s.opt.Now() // somebody has to be reached, or something to be recovered
	}
	for {
		var reply chan<- checkpoint
		scheduled := false
		select {
		case <-s.opt.After(due.Sub(s.opt.Now())):
			scheduled = true
		case reply = <-s.requests:
		case <-s.nudge:
			if now := s.opt.Now(); now.Sub(looked) < lookGap && now.Before(due) {
				due = minTime(due, looked.Add(lookGap))
				continue
			}
		case <-s.draining:
			s.pass(ctx, began, true)
			return nil
		case <-ctx.Done():
			return nil
		}
		looked = s.opt.Now()
		c := s.pass(ctx, began, scheduled || reply != nil || failures > 0)
		if reply != nil {
			reply <- c
		}
		switch {
		case fatal(c.err):
			return c.err
		case c.err != nil:
			due = s.opt.Now().Add(s.backoff(failures))
			failures++
		case scheduled || reply != nil || failures > 0:
			due, failures = s.opt.Now().Add(s.opt.Checkpoint), 0
		}
	}
}

// pass reaches the root if it was not reached yet, and makes a checkpoint or only
// looks at the manifest.
func (s *Store) pass(ctx context.Context, began log.Position, publish bool) checkpoint {
	r, err := s.reach(ctx, began)
	if err == nil && !publish {
		err = s.look(ctx, r)
	}
	c := checkpoint{err: err}
	if err == nil && publish {
		if c = s.publish(ctx, r); c.err == nil {
			if err := s.truncate(ctx, r, s.log.Load()); err != nil {
				s.opt.Report(err.Error())
			}
		}
	}
	switch {
	case c.err != nil && ctx.Err() == nil:
		s.say(fmt.Sprintf("the checkpoint waits: %v", c.err))
	case c.err == nil && publish:
		s.say("")
	}
	return c
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
		s.root.Store(r)
		s.note(r)
		s.signal.Notify()
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

// recover finishes or closes what ended epochs, and this process itself, have left
// pending in the root.
func (s *Store) recover(ctx context.Context, r *root) error {
	listed, err := recovery.List(ctx, r.manifest.Bucket())
	if err != nil {
		return err
	}
	for _, l := range listed {
		given := recovery.RollForwardOnly{EndEpoch: slices.Contains(r.writer.Abandoned(), l.Operation())}
		rep, err := r.recoverer.Recover(ctx, l.Key, given)
		switch {
		case err != nil:
			return fmt.Errorf("recover %s: %w", l.Key, err)
		case rep.Complete && !rep.Gone:
			s.opt.Report(fmt.Sprintf("recovered operation %s: %s: %s", rep.Operation, rep.Verdict.Decision, rep.Verdict.Message))
		case !rep.Complete && rep.Verdict.Decision != recovery.Defer:
			s.opt.Report(fmt.Sprintf("operation %s stays pending: %s: %s", rep.Operation, rep.Verdict.Decision, rep.Verdict.Message))
		}
	}
	if err := r.recoverer.Trim(ctx, recovery.KeepOutcomes); err != nil {
		return err
	}
	return s.look(ctx, r)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Checkpoint makes a checkpoint now. The result says what was published; a zero
// Operation means that nothing had changed.
func (s *Store) Checkpoint(ctx context.Context) (recovery.Result, error) {
	reply := make(chan checkpoint, 1)
	select {
	case s.requests <- reply:
	case <-s.done:
		return recovery.Result{}, &Refusal{Reason: ReasonDraining, Message: "the process is ending", RetryAfter: time.Second}
	case <-ctx.Done():
		return recovery.Result{}, context.Cause(ctx)
	}
	select {
	case c := <-reply:
		return c.result, c.err
	case <-ctx.Done():
		return recovery.Result{}, context.Cause(ctx)
	}
}

// Shutdown ends the process in order: no more transactions, those under way are
// finished, a last checkpoint, the log closed. When ctx ends first the rest is left
// to the log, which has everything.
func (s *Store) Shutdown(ctx context.Context) error {
	s.turnAway(&Refusal{Reason: ReasonDraining, Message: "the process is shutting down", RetryAfter: time.Second})
	err := s.gate.wait(ctx)
	s.drain.Do(func() {
		s.drained = ctx
		close(s.draining)
	})
	select {
	case <-s.done:
		return err
	case <-ctx.Done():
		return errors.Join(err, context.Cause(ctx))
	}
}
