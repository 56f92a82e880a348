// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// TruncatedError says that the log does not have a position any more: a checkpoint
// covers it. Whoever followed the log takes the state from elsewhere and goes on from
// Earliest.
type TruncatedError struct {
	// From is the position that was asked for, Earliest the first one behind it that the
	// log has, or will have.
	From, Earliest Position
}

// Error implements error.
func (e *TruncatedError) Error() string {
	return fmt.Sprintf("the log was truncated: it does not have position %d any more, the earliest that can be read from is %d", e.From, e.Earliest)
}

// Cursor reads what is durable, in order, for somebody who is as slow as he likes:
// whoever appends waits for no cursor, and what a truncation takes is not kept for one.
// Its memory is a buffer of 64 KiB and the largest transaction that it met. It is not
// safe for concurrent use.
//
//	from ── Read ──▶ transactions ── Read ──▶ ... the end of what is durable ── Await ──▶ Read
//	         └── *TruncatedError: it was overtaken, or it began too late
type Cursor struct {
	log  *Log
	next Position

	// Of the segment that is read; nil: none is open.
	sc   *scanner
	file io.ReadCloser
	of   extent
}

// From returns a cursor whose first transaction is that at position p; 0 is 1.
func (l *Log) From(p Position) *Cursor { return &Cursor{log: l, next: max(p, 1)} }

// Next is the position that is read next.
func (c *Cursor) Next() Position { return c.next }

// Check says whether the log has what is read next, or will have it; otherwise it is a
// *TruncatedError.
func (c *Cursor) Check() error {
	_, err := c.log.extent(c.next)
	return err
}

// Close gives the file up.
func (c *Cursor) Close() error {
	if c.file == nil {
		return nil
	}
	f := c.file
	c.file, c.sc = nil, nil
	return f.Close()
}

// Read hands out whole transactions, event by event, until most bytes were handed out
// or nothing more is durable; it waits for nothing. An event is good until each returns.
// Errors: *TruncatedError, *CorruptError, that of each, or the file system's.
func (c *Cursor) Read(most int, each func(Position, []byte) error) error {
	for handed := 0; handed < most; {
		e, err := c.log.extent(c.next)
		if err != nil || e.path == "" {
			return err
		}
		n, err := c.read(e, most-handed, each)
		if err != nil {
			return err
		}
		handed += n
	}
	return nil
}

// read hands out what a segment has.
func (c *Cursor) read(e extent, most int, each func(Position, []byte) error) (handed int, err error) {
	if err := c.open(e); err != nil {
		return 0, c.blame(e, err)
	}
	from := c.next
	out := func(p Position, body []byte) error {
		if p < from {
			return nil
		}
		handed += len(body)
		return each(p, body)
	}
	for c.sc.begun || handed < most && c.next <= e.durable {
		at := c.sc.at
		f, what, err := c.sc.next()
		if err == nil && what != foundFrame {
			err = &CorruptError{Damage: DamagedFrame, Path: e.path, Offset: at, Why: fmt.Sprintf("no frame of position %d stands there", c.next)}
		}
		if err == nil {
			if damage, why := c.sc.admit(f); damage != "" {
				err = &CorruptError{Damage: damage, Path: e.path, Offset: at, Why: why}
			}
		}
		if err != nil {
			return handed, c.blame(e, err)
		}
		if err := c.sc.take(f, out); err != nil {
			return handed, errors.Join(err, c.Close())
		}
		c.next = max(c.next, c.sc.last+1)
		if c.next > e.last {
			break // the next segment has it
		}
	}
	return handed, nil
}

// open makes sure that the extent's segment is the one that is read.
func (c *Cursor) open(e extent) error {
	if c.file != nil && c.of.seed == e.seed && c.of.path == e.path {
		c.of, c.sc.size = e, e.bytes // more of it may be read than before
		return nil
	}
	if err := c.Close(); err != nil {
		return err
	}
	f, _, err := c.log.fs.Open(e.path)
	if err != nil {
		return err
	}
	r := &reader{in: f, size: e.bytes, buf: make([]byte, cursorBuffer)}
	c.file, c.of = f, e
	c.sc = &scanner{reader: r, path: e.path, last: e.first - 1}
	h, err := r.begin()
	switch {
	case err != nil:
		return errOf(e.path, err)
	case h.seed != e.seed:
		return &CorruptError{Damage: ForeignSegment, Path: e.path, Why: "it is not the segment that was there"}
	}
	c.sc.checkpoint = h.checkpoint
	return c.skip(e.mark)
}

const cursorBuffer = 64 << 10

// skip goes on where a flush begins.
func (c *Cursor) skip(m mark) error {
	s, can := c.file.(io.Seeker)
	if m.at <= c.sc.at || !can {
		return nil
	}
	if _, err := s.Seek(m.at, io.SeekStart); err != nil {
		return err
	}
	c.sc.r, c.sc.w, c.sc.at, c.sc.last = 0, 0, m.at, m.last
	return nil
}

// blame says whose fault it is that a segment cannot be read: a file that was truncated
// in the meantime may be gone, or hold something else.
func (c *Cursor) blame(e extent, err error) error {
	err = errors.Join(err, c.Close())
	if _, gone := c.log.extent(c.next); gone != nil {
		return gone
	}
	return fmt.Errorf("read log %s: %w", e.path, err)
}

// mark is a place in a segment where a flush begins, behind position last.
type mark struct {
	last Position
	at   int64
}

// markEvery is how far marks stand apart, in bytes.
const markEvery = 256 << 10

// extent is a stretch of one segment that may be read.
type extent struct {
	path        string // empty: nothing is there yet
	seed        uint32
	first, last Position
	durable     Position
	bytes       int64
	mark        mark
}

// extent returns where position p stands: an empty one when it is not durable yet.
func (l *Log) extent(p Position) (extent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := min(l.durable, l.applied)
	for i := range l.segments {
		s := &l.segments[i]
		if p < s.first { // skipped, or truncated
			return extent{}, &TruncatedError{From: p, Earliest: s.first}
		}
		if p > s.last || p > told {
			continue
		}
		e := extent{path: s.path, seed: s.seed, first: s.first, last: s.last, durable: told, bytes: s.bytes}
		for _, m := range s.marks {
			if m.last < p {
				e.mark = m
			}
		}
		return e, nil
	}
	return extent{}, nil
}

// Await returns when position p is durable and was applied. Otherwise: why it never
// will be (*PoisonedError, ErrClosed), or the end of ctx.
func (l *Log) Await(ctx context.Context, p Position) error {
	for {
		l.mu.Lock()
		if min(l.durable, l.applied) >= p {
			l.mu.Unlock()
			return nil
		}
		if err := l.err(); err != nil {
			l.mu.Unlock()
			return err
		}
		if l.advanced == nil {
			l.advanced = make(chan struct{})
		}
		advanced := l.advanced
		l.mu.Unlock()
		select {
		case <-advanced:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// advance wakes whoever is in Await. Under mu.
func (l *Log) advance() {
	if l.advanced != nil {
		close(l.advanced)
		l.advanced = nil
	}
}
