// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// memory is what a log has read: one unbroken stretch of the chain, the objects
// after lo up to head. Objects never change, so it never has to be thrown away;
// it is lost with the process and read again.
type memory struct {
	lo    Head
	head  Head
	check checker // goes on behind head

	objects []sighting        // oldest first
	holds   map[string]uint64 // operation -> the object with its row
}

// sighting is one object of the stretch.
type sighting struct {
	head       Head
	operations []string
}

// search is what one call looks for, and what it came across.
type search struct {
	wanted map[string]bool
	found  map[string]finding
}

// finding is the answer for one operation.
type finding struct {
	row  Row
	mine bool  // written by this call
	err  error // the operation alone is refused
}

// want looks for the operation of a row, unless the row is refused as it is.
func (s *search) want(r *Row) {
	if err := r.check(); err != nil {
		s.found[r.Operation] = finding{err: err}
	}
	s.wanted[r.Operation] = true
}

// note keeps what the row says if its operation is wanted. The oldest row stands.
func (s *search) note(r checkedRow) {
	if s == nil || !s.wanted[r.Operation] {
		return
	}
	if _, ok := s.found[r.Operation]; ok {
		return
	}
	f := finding{row: r.Row}
	if r.fault != nil {
		f.err = r.fault
	}
	s.found[r.Operation] = f
}

// recall makes the log's memory reach from since to an end that it has seen. A
// memory that covers since already costs no request: if others appended behind
// it, the next put says so.
func (l *Log) recall(ctx context.Context, since Head, s *search) error {
	m := l.seen
	if m == nil || since.Number < m.lo.Number {
		fresh, err := l.start(ctx, since)
		if err != nil {
			return err
		}
		if err := l.catchUp(ctx, fresh, s); err != nil {
			return err
		}
		l.seen = fresh
		return nil
	}
	if since.Number > m.head.Number {
		if err := l.catchUp(ctx, m, s); err != nil {
			return err
		}
	}
	return m.agrees(since)
}

// begin gives a log that has read nothing a place to go on from.
func (l *Log) begin(ctx context.Context) (err error) {
	at := l.opts.Start
	if at.Number == 0 {
		if at.Number, err = l.end(ctx); err != nil {
			return err
		}
	}
	l.seen, err = l.start(ctx, at)
	return err
}

// end finds an object that has no successor, by doubling and halving. In a chain
// without gaps there is one; in a broken one any will do: Verify tells.
func (l *Log) end(ctx context.Context) (uint64, error) {
	there := func(n uint64) (bool, error) {
		_, err := l.bucket.GetRange(ctx, objectKey(l.chain, n), 0, envelope.HeaderMax)
		if errors.Is(err, objstore.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	lo, hi := uint64(0), uint64(1) // lo is there, hi is not
	for hi <= math.MaxUint64/2 {
		ok, err := there(hi)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		lo, hi = hi, 2*hi
	}
	for hi-lo > 1 {
		mid := lo + (hi-lo)/2
		ok, err := there(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// start returns a memory that begins behind at. A Hash is compared if given.
func (l *Log) start(ctx context.Context, at Head) (*memory, error) {
	m := &memory{check: newChecker(l.chain, "", l.keys), holds: map[string]uint64{}}
	if at.Number == 0 {
		return m, nil
	}
	o, err := l.bucket.Get(ctx, objectKey(l.chain, at.Number))
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, cutBefore(at)
	}
	if err != nil {
		return nil, err
	}
	m.check = m.check.from(at.Number)
	if err := m.take(at.Number, o.Body, nil); err != nil {
		return nil, err
	}
	if at.Hash != "" && m.head.Hash != at.Hash {
		return nil, rewritten(at, m.head)
	}
	*m = memory{lo: m.head, head: m.head, check: m.check, holds: map[string]uint64{}}
	return m, nil
}

// catchUp reads on to the end of the chain.
func (l *Log) catchUp(ctx context.Context, m *memory, s *search) error {
	for {
		n := m.head.Number + 1
		o, err := l.bucket.Get(ctx, objectKey(l.chain, n))
		if errors.Is(err, objstore.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.take(n, o.Body, s); err != nil {
			return err
		}
	}
}

// take goes on over object n. On a fault the memory stays as it was: what comes
// behind a broken row is not known to be the chain. A row whose key is not known
// here is passed; only about its own operation nothing can be said.
func (m *memory) take(n uint64, raw []byte, s *search) error {
	c := m.check
	f := c.object(n, raw)
	for b := range f.faults {
		if b.Why != Unverifiable || f.damaged != nil {
			return &b
		}
	}
	seen := sighting{head: Head{Number: n, Hash: f.rows[len(f.rows)-1].Hash}}
	for _, r := range f.rows {
		if r.Format != RowFormat {
			return r.fault
		}
		s.note(r)
		seen.operations = append(seen.operations, r.Operation)
		if _, ok := m.holds[r.Operation]; !ok {
			m.holds[r.Operation] = n
		}
	}
	m.check, m.head = c, seen.head
	m.objects = append(m.objects, seen)
	for len(m.holds) > remembered && len(m.objects) > 1 {
		m.forget()
	}
	return nil
}

// forget drops the oldest object.
func (m *memory) forget() {
	o := m.objects[0]
	for _, op := range o.operations {
		if m.holds[op] == o.head.Number {
			delete(m.holds, op)
		}
	}
	m.objects, m.lo = m.objects[1:], o.head
}

// agrees reports whether a head from elsewhere lies on the chain as it was read.
func (m *memory) agrees(at Head) error {
	known := m.lo
	switch {
	case at.Number > m.head.Number:
		return cutBefore(at)
	case at.Number > m.lo.Number:
		known = m.objects[at.Number-m.lo.Number-1].head
	}
	if at.Hash != "" && at.Hash != known.Hash {
		return rewritten(at, known)
	}
	return nil
}

func cutBefore(at Head) *Break {
	return &Break{Number: at.Number, LastNumber: at.Number, Why: CutTail,
		Detail: "a head remembered elsewhere names this object, and it is not there: restore it from a copy or a bucket version"}
}

func rewritten(at, found Head) *Break {
	return &Break{Number: at.Number, LastNumber: at.Number, Why: Rewritten,
		Detail: fmt.Sprintf("a head remembered elsewhere says hash %s, the object ends in %s", at.Hash, found.Hash)}
}
