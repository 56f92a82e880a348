// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// Cursor is a place in a log that runs: Read goes on from there.
type Cursor struct {
	// Next is the position that is read next.
	Next Position

	// Where that stands, as far as it is known: behind a transaction of this segment.
	first       Position
	incarnation uint64
	at          int64
	ended       bool
	checkpoint  Position
}

// CursorAt returns the place of position p.
func CursorAt(p Position) Cursor { return Cursor{Next: max(p, 1)} }

// CutError says that what was to be read is not in the log any more: a checkpoint covers
// it. The log begins with First.
type CutError struct{ Next, First Position }

// Error implements error.
func (e *CutError) Error() string {
	return fmt.Sprintf("position %d was cut off: the log begins with %d", e.Next, e.First)
}

// Read hands to each, event by event, every transaction from the cursor on that is
// durable when Read is called, and moves the cursor behind it. It ends before that when
// enough, asked after every transaction, says so. An event is good until each returns.
// Positions that the log has skipped are passed.
//
// It reads files: nobody who appends waits for it, and it holds nothing back. What is
// truncated meanwhile is a *CutError. After a failure of the log it still reads what is
// durable; after Close it must not be called.
func (l *Log) Read(c *Cursor, each func(Position, []byte) error, enough func() bool) error {
	for {
		s, durable, err := l.holding(c.Next)
		if err != nil || c.Next > durable {
			return err
		}
		done, err := l.readSegment(s, c, min(durable, s.last), each, enough)
		if err != nil || done {
			return err
		}
	}
}

// holding returns the segment of the first position from p on that the log has.
func (l *Log) holding(p Position) (s segment, durable Position, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.segments {
		if s.last < p {
			continue
		}
		if i == 0 && s.first > p {
			return s, 0, &CutError{Next: p, First: s.first}
		}
		return s, l.durable, nil
	}
	return s, 0, nil
}

// readSegment reads what s holds from the cursor to upTo. done: it is enough.
func (l *Log) readSegment(s segment, c *Cursor, upTo Position, each func(Position, []byte) error, enough func() bool) (done bool, err error) {
	f, size, err := l.fs.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, l.cut(s, c.Next, err)
	}
	if err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	defer f.Close()
	sc, err := c.scanner(f, size, s)
	if err != nil {
		return false, l.cut(s, c.Next, fmt.Errorf("read log: %w", err))
	}
	for sc.last < upTo {
		at := sc.at
		fr, what, err := sc.next()
		if err != nil {
			return false, l.cut(s, c.Next, fmt.Errorf("read log: read %s: %w", s.path, err))
		}
		damage, why := DamagedFrame, fmt.Sprintf("the checksum of position %d is wrong, and it is durable", sc.last+1)
		if what == foundFrame {
			damage, why = sc.admit(fr)
		}
		if damage != "" {
			return false, l.cut(s, c.Next, &CorruptError{Damage: damage, Path: s.path, Offset: at, Why: why})
		}
		before, handed := sc.last, each
		if fr.position < c.Next {
			handed = nil
		}
		if err := sc.take(fr, handed); err != nil {
			return false, err
		}
		if sc.last == before || sc.last < c.Next {
			continue
		}
		c.Next, c.first, c.incarnation = sc.last+1, s.first, s.incarnation
		c.at, c.ended, c.checkpoint = sc.at, sc.ended, sc.checkpoint
		if enough() {
			return true, nil
		}
	}
	c.Next = max(c.Next, upTo+1)
	return false, nil
}

// scanner begins where the cursor stands, or at the beginning of the segment.
func (c *Cursor) scanner(f io.Reader, size int64, s segment) (*scanner, error) {
	sc := &scanner{reader: newReader(f, size), path: s.path, last: s.first - 1, checkpoint: s.checkpoint}
	h, err := sc.begin()
	if err != nil {
		return nil, errOf(s.path, err)
	}
	if h.first != s.first || h.incarnation != s.incarnation {
		return nil, &CorruptError{Damage: ForeignSegment, Path: s.path, Why: "another segment has taken its place"}
	}
	if c.at == 0 || c.first != s.first || c.incarnation != s.incarnation {
		return sc, nil
	}
	if in, ok := f.(io.Seeker); ok {
		if _, err := in.Seek(c.at, io.SeekStart); err != nil {
			return nil, err
		}
		sc.r, sc.w, sc.at = 0, 0, c.at
	} else if err := sc.skip(c.at - sc.at); err != nil {
		return nil, err
	}
	sc.last, sc.ended, sc.checkpoint = c.Next-1, c.ended, c.checkpoint
	return sc, nil
}

// cut says why a segment could not be read: it is not a part of the log any more, or err.
func (l *Log) cut(s segment, next Position, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.segments, func(o segment) bool { return o.first == s.first && o.incarnation == s.incarnation }) || len(l.segments) == 0 {
		return err
	}
	return &CutError{Next: next, First: l.segments[0].first}
}
