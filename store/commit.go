// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/salvor-io/salvor/store/log"
)

// Transact does the transaction and returns when it is durable, or what Options.Sync says
// instead, and visible. Errors
// are *Refusal, or wrap one; Refusal.Unknown says whether the transaction may have
// happened.
func (s *Store) Transact(ctx context.Context, t Transaction) (Result, error) {
	t.Statements = slices.Clone(t.Statements) // the caller's are the caller's
	if err := t.normalise(s.names); err != nil {
		return Result{}, err // nobody waits for the end of a lock to be told that
	}
	writes := t.writes()
	leave, err := s.gate.enter(ctx, writes, func() <-chan time.Time { return s.opt.After(s.opt.Park) })
	if err != nil {
		return Result{}, err
	}
	defer leave()
	if !writes {
		return s.readOnly(t), nil
	}
	r, ticket, err := s.enqueue(t)
	if err != nil || ticket == nil {
		return r, err
	}
	select {
	case <-ticket.Done():
		if err := ticket.Err(); err != nil {
			if s.poison() != nil {
				s.disk(true) // as the failure has found it
				s.signal.Notify()
			}
			return Result{}, refused(err, true)
		}
		r.Sync = s.opt.Sync
		return r, nil
	case <-ctx.Done():
		return Result{}, &Refusal{
			Reason: ReasonNoAnswer, Message: "the caller stopped waiting before the transaction was durable",
			Unknown: true, RetryAfter: time.Second, Cause: context.Cause(ctx),
		}
	}
}

// enqueue evaluates the transaction and gives it its place in the log. A nil
// ticket means that the result stands already.
func (s *Store) enqueue(t Transaction) (Result, *log.Ticket, error) {
	digest, err := t.digest()
	if err != nil {
		return Result{}, nil, err
	}
	rec := newRecord(&t, digest)
	body, err := rec.encode()
	if err != nil {
		return Result{}, nil, err
	}
	if len(body) > maxBody {
		return Result{}, nil, &Refusal{Reason: ReasonTooLarge, Message: fmt.Sprintf("the transaction has %d bytes, at most %d are taken", len(body), maxBody)}
	}
	s.order.Lock()
	defer s.order.Unlock()
	if r, ok := s.seen.find(t.ID); ok {
		if r.digest != string(digest[:]) {
			return Result{}, nil, &Refusal{Reason: ReasonIDReused, Message: fmt.Sprintf("id %q belongs to another transaction, at position %d", t.ID, r.position)}
		}
		return Result{ID: t.ID, Writer: string(s.opt.Writer), Position: r.position, Repeated: true}, r.ticket, nil
	}
	l := s.log.Load()
	if err := l.Err(); err != nil {
		s.signal.Notify()
		return Result{}, nil, refused(err, false)
	}
	r := Result{ID: t.ID, Writer: string(s.opt.Writer), Position: l.Next(), Results: s.evaluate(t)}
	s.tables.expect(r.Position, rec.Writes)
	ticket, err := l.Append(body, func(p log.Position) { s.tables.apply(p, rec.Writes) })
	if err != nil { // poisoned, or closed: nothing is evaluated any more
		s.signal.Notify()
		return Result{}, nil, refused(err, false)
	}
	s.seen.add(t.ID, remembered{digest: string(digest[:]), position: r.Position, ticket: &ticket})
	return r, &ticket, nil
}

// evaluate answers the gets. Each sees the writes before it in the transaction and
// in the log. Under order.
func (s *Store) evaluate(t Transaction) []Read {
	own := map[cell]json.RawMessage{}
	return reads(t, func(c cell) (json.RawMessage, bool) {
		if row, ok := own[c]; ok {
			return row, row != nil
		}
		return s.tables.newest(c.table, c.key)
	}, func(st Statement) { own[cell{st.Table, st.Key}] = st.Row })
}

// readOnly answers gets from what is durable, all at one position.
func (s *Store) readOnly(t Transaction) Result {
	s.tables.mu.RLock()
	defer s.tables.mu.RUnlock()
	return Result{
		ID: t.ID, Writer: string(s.opt.Writer), Position: s.tables.applied,
		Results: reads(t, func(c cell) (json.RawMessage, bool) { return s.tables.get(c.table, c.key) }, nil),
	}
}

func reads(t Transaction, get func(cell) (json.RawMessage, bool), write func(Statement)) []Read {
	out, any := make([]Read, len(t.Statements)), false
	for i, st := range t.Statements {
		if st.Op != OpGet {
			write(st)
			continue
		}
		row, found := get(cell{st.Table, st.Key})
		out[i], any = Read{Found: found, Row: row}, true
	}
	if !any {
		return nil
	}
	return out
}
