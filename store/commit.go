// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/salvor-io/salvor/store/log"
)

// Transact does the transaction and returns when it is durable, or what Options.Sync says
// instead, and visible. Errors
// are *Refusal, or wrap one; Refusal.Unknown says whether the transaction may have
// happened.
func (s *Store) Transact(ctx context.Context, t Transaction) (r Result, err error) {
	began := s.opt.Now()
	defer func() { s.meters.transaction(t.writes(), s.opt.Now().Sub(began), err) }()
	n := t.bytes()
	if err := s.intake.take(n); err != nil {
		return Result{}, err
	}
	defer s.intake.give(n)
	return s.transact(ctx, t, n)
}

// transact does a transaction of which the intake counts n bytes.
func (s *Store) transact(ctx context.Context, t Transaction, n int64) (Result, error) {
	t.Statements = slices.Clone(t.Statements) // the caller's are the caller's
	if err := t.normalise(s.names); err != nil {
		return Result{}, err // nobody waits for the end of a lock to be told that
	}
	p, err := t.planned()
	if err != nil {
		return Result{}, err
	}
	writes := t.writes()
	leave, err := s.gate.enter(ctx, writes, n, func() <-chan time.Time { return s.opt.After(s.opt.Park) })
	if err != nil {
		return Result{}, err
	}
	defer leave()
	if !writes {
		return s.readOnly(t, p)
	}
	return s.enqueue(t, p).settle(ctx, s)
}

// placed is a transaction that was evaluated.
type placed struct {
	result Result
	// err is what the client is told instead.
	err error
	// ticket is that of its record; nil: it has none.
	ticket *log.Ticket
	// saw is the newest position that it has read of and that may not be durable yet.
	saw log.Position
}

// settle waits until what the client is told is true for good.
func (p placed) settle(ctx context.Context, s *Store) (Result, error) {
	if p.ticket == nil {
		if p.saw > 0 { // what is not durable is told to nobody, not even as an obstacle
			if err := s.log.Load().Await(ctx, p.saw); err != nil && ctx.Err() != nil {
				return Result{}, &Refusal{Reason: ReasonNoAnswer, Message: "the caller stopped waiting; nothing of the transaction was done", RetryAfter: time.Second, Cause: err}
			} else if err != nil {
				return Result{}, refused(err, false)
			}
		}
		return p.result, p.err
	}
	if s.opt.Sync != log.SyncCommit {
		p.ticket.Push()
	}
	select {
	case <-p.ticket.Done():
		if err := p.ticket.Err(); err != nil {
			if s.poison() != nil {
				s.disk(true) // as the failure has found it
				s.signal.Notify()
			}
			return Result{}, refused(err, true)
		}
		p.result.Sync = s.opt.Sync
		return p.result, nil
	case <-ctx.Done():
		return Result{}, &Refusal{
			Reason: ReasonNoAnswer, Message: "the caller stopped waiting before the transaction was durable",
			Unknown: true, RetryAfter: time.Second, Cause: context.Cause(ctx),
		}
	}
}

// enqueue evaluates the transaction and gives it its place in the log.
func (s *Store) enqueue(t Transaction, p *plan) placed {
	digest, err := t.digest()
	if err != nil {
		return placed{err: err}
	}
	rec := newRecord(&t, digest)
	var body []byte
	if p == nil { // all writes stand, or none: nobody has to wait while they are encoded
		if body, err = rec.encode(); err != nil {
			return placed{err: err}
		}
	}
	s.order.Lock()
	defer s.order.Unlock()
	if r, ok := s.seen.find(t.ID); ok {
		if r.digest != string(digest[:]) {
			return placed{err: &Refusal{Reason: ReasonIDReused, Message: fmt.Sprintf("id %q belongs to another transaction, at position %d", t.ID, r.position)}}
		}
		return placed{result: Result{ID: t.ID, Writer: string(s.opt.Writer), Position: r.position, Repeated: true}, ticket: r.ticket}
	}
	l := s.log.Load()
	if err := l.Err(); err != nil {
		s.signal.Notify()
		return placed{err: refused(err, false)}
	}
	out := placed{result: Result{ID: t.ID, Writer: string(s.opt.Writer), Position: l.Next()}}
	if t.looks() {
		e := s.evaluation(out.result.Position, &out.saw)
		if failed := e.run(t, p); failed != nil {
			out.err = failed.refusal()
			return out
		}
		out.result.Results = e.results()
		if p != nil {
			rec.Writes = e.writes
		}
	}
	if len(rec.Writes) == 0 { // all of it was rolled back: there is nothing that could be lost
		out.result.Position--
		return out
	}
	if p != nil {
		if body, err = rec.encode(); err != nil {
			return placed{err: err}
		}
	}
	ticket, err := s.append(l, t.ID, digest, rec, body)
	if err != nil {
		return placed{err: err}
	}
	out.ticket = ticket
	return out
}

// append gives a record to the log. Under order.
func (s *Store) append(l *log.Log, id string, digest [sha256.Size]byte, rec *record, body []byte) (*log.Ticket, error) {
	if len(body) > maxBody {
		return nil, &Refusal{Reason: ReasonTooLarge, Message: fmt.Sprintf("the transaction has %d bytes, at most %d are taken", len(body), maxBody)}
	}
	p := l.Next()
	s.tables.expect(p, rec.Writes)
	// Where an answer waits for the disk, it is the flusher's to wait: who asked may leave.
	enter := l.Enter
	if s.opt.Sync == log.SyncCommit {
		enter = l.Append
	}
	ticket, err := enter(body, func(p log.Position) { s.tables.apply(p, rec.Writes) })
	if err != nil { // poisoned, or closed: nothing is evaluated any more
		s.signal.Notify()
		return nil, refused(err, false)
	}
	s.meters.logged.Add(int64(len(body)))
	s.seen.add(id, remembered{digest: string(digest[:]), position: p, ticket: &ticket})
	return &ticket, nil
}

// evaluation begins one that sees the writes before it in the log, durable or not; saw
// gets the newest of those that are not. Under order.
func (s *Store) evaluation(at log.Position, saw *log.Position) *evaluation {
	return &evaluation{at: at, read: func(c cell) found {
		f, pending := s.tables.newest(c)
		if pending {
			*saw = max(*saw, f.at)
		}
		return f
	}}
}

// readOnly answers gets from what is durable, all at one position.
func (s *Store) readOnly(t Transaction, p *plan) (Result, error) {
	s.tables.mu.RLock()
	defer s.tables.mu.RUnlock()
	e := evaluation{at: s.tables.applied, read: s.tables.get}
	if failed := e.run(t, p); failed != nil {
		return Result{}, failed.refusal()
	}
	return Result{ID: t.ID, Writer: string(s.opt.Writer), Position: s.tables.applied, Results: e.results()}, nil
}
