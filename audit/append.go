// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
)

// Appended is the answer for one row.
type Appended struct {
	Row     Row  // as it stands in the chain, read back
	Head    Head // the newest head this log has seen; it covers Row
	Already bool // the row was there before this call
	// Err is set by AppendAll for a row that was refused alone: *ConflictError,
	// ErrInvalidRow, or a *Break about the row that records the operation.
	Err error
}

// AppendOnce records how an operation ended, unless the trail has it already.
// since is a head from before the outcome was decided (the one in the operation's
// own publication, or in the sidecar's base); only later objects are searched.
// The zero Head searches all there is, which is right and slow: every publication
// carries a head so that nobody has to.
//
// When err is nil the row was read from the bucket: whatever it is the evidence
// for may be deleted. ErrUnknown: the row may be there; append again. Any other
// error: nothing was written. Of those, *ConflictError, *Break, ErrInvalidRow and
// ErrNoCurrentKey need a person; the rest is worth another try later.
//
// Rows that one process appends at the same time share an object and the requests
// around it; each is told its own answer.
func (l *Log) AppendOnce(ctx context.Context, row Row, since Head) (Appended, error) {
	r := &request{ctx: ctx, row: row, since: since, done: make(chan struct{})}
	if l.line.join(r) {
		go l.carry()
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		if l.line.leave(r) {
			return Appended{}, fmt.Errorf("wait for audit chain %s: %w", l.chain, context.Cause(ctx))
		}
		if !r.shared.Load() { // its requests end with ctx
			<-r.done
			break
		}
		// It is on its way for others too. What is known by now is the better answer.
		select {
		case <-r.done:
		default:
			return Appended{}, fmt.Errorf("a row of audit chain %s is on its way: %w: %w", l.chain, ErrUnknown, context.Cause(ctx))
		}
	}
	return r.res, r.err
}

// AppendAll is AppendOnce for many operations at once, sharing objects and
// requests; since is the oldest of theirs. The result has one answer per row, in
// order. A row refused alone (Appended.Err) does not keep its neighbours out.
// When err is not nil, some of the rows may have been written: append again.
func (l *Log) AppendAll(ctx context.Context, rows []Row, since Head) ([]Appended, error) {
	s := &search{wanted: map[string]bool{}, found: map[string]finding{}}
	for i := range rows {
		s.want(&rows[i])
	}
	if err := l.lock(ctx); err != nil {
		return nil, err
	}
	defer l.unlock()
	if err := l.recall(ctx, since, s); err != nil {
		return nil, fmt.Errorf("search audit chain %s: %w", l.chain, err)
	}
	return l.appendRows(ctx, rows, s)
}

// appendRows creates what the search has not found yet. The memory reaches back
// to before each of the rows' outcomes; the log is locked.
func (l *Log) appendRows(ctx context.Context, rows []Row, s *search) ([]Appended, error) {
	if err := l.reread(ctx, s); err != nil {
		return nil, fmt.Errorf("search audit chain %s: %w", l.chain, err)
	}
	for {
		missing := s.missing(rows)
		if len(missing) == 0 {
			return l.answer(rows, s), nil
		}
		b, err := l.seal(missing, s)
		if err != nil {
			return nil, fmt.Errorf("append to audit chain %s: %w", l.chain, err)
		}
		if b == nil {
			continue // all that was missing was refused
		}
		if err := l.create(ctx, b, s); err != nil {
			return nil, fmt.Errorf("append to audit chain %s, object %d: %w", l.chain, b.number, err)
		}
	}
}

// missing returns the first row of each operation that has no answer yet.
func (s *search) missing(rows []Row) (out []Row) {
	taken := map[string]bool{}
	for _, r := range rows {
		if _, ok := s.found[r.Operation]; !ok && !taken[r.Operation] {
			taken[r.Operation] = true
			out = append(out, r)
		}
	}
	return out
}

// search fills s.found with the rows after since, or anywhere in the memory,
// that record a wanted operation. Each was read from the bucket in this call.
func (l *Log) search(ctx context.Context, since Head, s *search) error {
	if err := l.recall(ctx, since, s); err != nil {
		return err
	}
	return l.reread(ctx, s)
}

// reread takes the rows that the memory knows of from the bucket again: a memory
// is no evidence to delete a sidecar on.
func (l *Log) reread(ctx context.Context, s *search) error {
	for op := range s.wanted {
		if _, ok := s.found[op]; ok {
			continue
		}
		if n := l.seen.holds[op]; n != 0 {
			if err := l.rereadObject(ctx, n, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Log) rereadObject(ctx context.Context, n uint64, s *search) error {
	o, err := l.bucket.Get(ctx, objectKey(l.chain, n))
	if errors.Is(err, objstore.ErrNotFound) {
		return &Break{Number: n, LastNumber: n, Why: Missing, Detail: "the object was there before: restore it from a copy or a bucket version"}
	}
	if err != nil {
		return err
	}
	m := &memory{check: l.seen.check.from(n), holds: map[string]uint64{}}
	return m.take(n, o.Body, s)
}

// answer tells each row what became of it.
func (l *Log) answer(rows []Row, s *search) []Appended {
	all := make([]Appended, len(rows))
	for i, r := range rows {
		f := s.found[r.Operation]
		switch {
		case f.err != nil:
			all[i] = Appended{Err: f.err}
		case f.row.Kind != r.Kind:
			all[i] = Appended{Err: &ConflictError{Operation: r.Operation, Wanted: r.Kind, Recorded: f.row}}
		default:
			all[i] = Appended{Row: f.row, Head: l.seen.head, Already: !f.mine}
			f.mine = false // the same row given twice was there the second time
			s.found[r.Operation] = f
		}
	}
	return all
}
