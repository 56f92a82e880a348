// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
)

// step is one call on its way through the wrapper.
type step struct {
	b    *Bucket
	call Call
	rule *Rule // nil: nothing happens to it
	dead bool  // the process was dead before the call
	own  func(context.Context) (objstore.PutResult, error)
}

// begin counts the call and finds what happens to it.
func (b *Bucket) begin(v Verb, key string) *step {
	b.mu.Lock()
	s := &step{b: b, call: Call{Verb: v, Key: key}}
	if b.dead {
		s.dead = true
		b.mu.Unlock()
		return s
	}
	s.call.N = len(b.calls) + 1
	if v.Durable() {
		b.writes++
		s.call.Write = b.writes
	}
	b.calls = append(b.calls, s.call)
	for _, r := range b.rules {
		if r.hit(s.call) && s.rule == nil {
			r.fired++
			s.rule = r
		}
	}
	hook := b.onCall
	b.mu.Unlock()
	if hook != nil {
		hook(s.call)
	}
	return s
}

func (s *step) action() action {
	if s.rule == nil {
		return actNone
	}
	return s.rule.act
}

// late keeps what the call would do, in case its rule lets it land later.
func (s *step) late(apply func(context.Context) (objstore.PutResult, error)) { s.own = apply }

// tear returns what is stored of body.
func (s *step) tear(body []byte) []byte {
	switch s.action() {
	case actTear:
		return body[:min(s.rule.keep, len(body))]
	case actCrashTorn:
		return body[:len(body)/2]
	default:
		return body
	}
}

// before returns an error when the call has no effect, with a put's outcome.
func (s *step) before(ctx context.Context) (objstore.Outcome, error) {
	if s.dead {
		return s.lost(ErrCrashed)
	}
	switch s.action() {
	case actFail:
		return objstore.Retry, fmt.Errorf("%s: %w", s.call, s.rule.err)
	case actLoseRequest:
		return s.lost(ErrAnswerLost)
	case actLandLater:
		if s.own == nil {
			panic("fault: only a put or a delete can land later: " + s.call.String())
		}
		s.rule.gate.arrive(s.call, s.own)
		return s.lost(ErrAnswerLost)
	case actCrashBefore:
		s.b.die()
	case actCrashTorn:
		if s.call.Verb != PutIfAbsent {
			s.b.die()
		}
	case actParkBefore:
		if err := s.wait(ctx); err != nil {
			return objstore.Retry, err
		}
	}
	if s.b.isDead() {
		return s.lost(ErrCrashed)
	}
	return objstore.OutcomeInvalid, nil
}

// after returns an error when the answer of the call is lost.
func (s *step) after(ctx context.Context) (objstore.Outcome, error) {
	switch s.action() {
	case actLoseAnswer, actTear:
		return s.lost(ErrAnswerLost)
	case actCrashUnacknowledged, actCrashTorn:
		s.b.die()
	case actParkAfter:
		if err := s.wait(ctx); err != nil {
			return objstore.Unknown, err
		}
	}
	if s.b.isDead() {
		return s.lost(ErrCrashed)
	}
	return objstore.OutcomeInvalid, nil
}

func (s *step) lost(err error) (objstore.Outcome, error) {
	return objstore.Unknown, fmt.Errorf("%s: %w", s.call, err)
}

// wait stands at the gate. A dead process stops waiting; before and after see it.
func (s *step) wait(ctx context.Context) error {
	g := s.rule.gate
	g.arrive(s.call, nil)
	select {
	case <-g.open:
		return nil
	case <-s.b.died:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", s.call, ctx.Err())
	}
}
