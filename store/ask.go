// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"time"

	"github.com/salvor-io/salvor/recovery"
)

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
// finished, a last checkpoint, tried again until ctx ends, the log closed. What the
// root did not get by then is left to the log, which has everything: see Left.
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
