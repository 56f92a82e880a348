// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"fmt"
	"hash/crc32"
	"io"
)

// Recover reads every transaction in order, hands the events of each to replay, and
// makes the log ready for Append. A torn tail is cut off; other damage is a
// *CorruptError, and nothing was changed then. An error of replay ends it. replay is
// called once for each event, with the position of its transaction; the event is good
// until it returns.
//
// from is the lowest position that the next transaction may get: whoever knows from
// elsewhere that positions up to from-1 are taken (a checkpoint in the root, of
// which this disk knows nothing) has them skipped. 1 is the ordinary value.
func (l *Log) Recover(from Position, replay func(Position, []byte) error) error {
	last, good, err := l.read(replay)
	if err != nil {
		return err
	}
	if err := l.resume(last, good, max(from, 1)); err != nil {
		return fmt.Errorf("recover log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = l.segments[len(l.segments)-1].last
	l.began = l.written
	l.durable, l.applied, l.next = l.written, l.written, l.written+1
	l.replayed.Store(l.replay.Load())
	l.running = true
	go l.flush()
	if l.opt.Mode != SyncCommit {
		l.syncing.Add(1)
		go l.sync()
	}
	if l.opt.Spares > 0 {
		l.prepared.Add(1)
		go l.prepareSpares()
	}
	return nil
}

// read hands every event to replay and returns the last position, and where the
// good part of the last segment ends.
func (l *Log) read(replay func(Position, []byte) error) (last Position, good int64, err error) {
	for i := range l.segments {
		s := &l.segments[i]
		var next *segment
		if i+1 < len(l.segments) {
			next = &l.segments[i+1]
		}
		if good, err = l.scan(s, next, replay); err != nil {
			return 0, 0, err
		}
		last = s.last
	}
	return last, good, nil
}

// scan reads one segment, of which next is the one behind it, and returns where its
// good part ends.
func (l *Log) scan(s, next *segment, replay func(Position, []byte) error) (int64, error) {
	sc, done, err := l.scanner(s)
	if err != nil {
		return 0, err
	}
	defer done()
	before := l.replayed.Load()
	sc.passed = func(at int64) { l.replayed.Store(before + at) }
	what, err := sc.transactions(replay, nil)
	if err != nil {
		return 0, err
	}
	l.replayed.Store(before + s.bytes)
	s.last, s.bytes = sc.last, sc.good
	l.checkpoint = max(l.checkpoint, sc.checkpoint)
	if next != nil {
		return sc.good, sc.sealed(what, sc.at, next)
	}
	return sc.good, sc.torn(sc.at)
}

// scanner opens a segment for reading, behind its header.
func (l *Log) scanner(s *segment) (*scanner, func(), error) {
	f, size, err := l.fs.Open(s.path)
	if err != nil {
		return nil, nil, fmt.Errorf("recover log: %w", err)
	}
	in, end := io.Reader(f), func() {}
	if size > readAhead {
		a := newAhead(f)
		in, end = a, a.end
	}
	done := func() { end(); _ = f.Close() } // it was only read
	sc := &scanner{reader: newReader(in, size), path: s.path, last: s.first - 1, checkpoint: max(l.checkpoint, s.checkpoint)}
	if _, err := sc.begin(); err != nil {
		done()
		return nil, nil, errOf(s.path, err)
	}
	sc.good = sc.at
	return sc, done, nil
}

// resume makes the active segment: a copy of the good part of the last one, so
// that what was read is on the disk; or a new one, when there is none or when
// positions are skipped.
func (l *Log) resume(last Position, good int64, from Position) error {
	if len(l.segments) == 0 {
		l.id = l.opt.NewID()
		return l.begin(header{id: l.id, first: from})
	}
	s := &l.segments[len(l.segments)-1]
	h := s.header
	c := copier{l: l, from: s, good: good, to: &batch{block: l.opt.BlockSize}}
	now, f, err := l.install(h, c.copy)
	if err != nil {
		return err
	}
	now.last, now.bytes = last, c.at
	*s, l.active, l.size, l.seed = now, f, c.at, now.seed
	if from > last+1 {
		return l.begin(header{id: l.id, first: from, follows: last, checkpoint: l.checkpoint})
	}
	return nil
}

// copier copies the good part of a segment into the file that takes its place, frame
// by frame: the seed is another one.
type copier struct {
	l    *Log
	from *segment
	good int64

	to *batch
	at int64 // where the copy ends
}

// copyAhead is how much of it is in memory, in bytes.
const copyAhead = 1 << 20

func (c *copier) copy(f Blocks, h *header) error {
	c.at = int64(h.block)
	sc, done, err := c.l.scanner(c.from)
	if err != nil {
		return err
	}
	defer done()
	sc.checkpoint = c.from.checkpoint
	durable := Position(0)
	_, err = sc.transactions(nil, func(fr frame) error {
		if sc.at > c.good {
			return nil // the beginning of what was cut off
		}
		if len(c.to.heads) > 0 && len(c.to.buf)+len(fr.body) > copyAhead {
			if err := c.flush(f, durable, h.seed); err != nil {
				return err
			}
		}
		c.to.put(fr.kind, fr.index, fr.position, fr.body, crc32.Checksum(fr.body, castagnoli))
		durable = fr.durable
		return nil
	})
	if err != nil {
		return err
	}
	return c.flush(f, durable, h.seed)
}

// flush writes what was collected. What its newest frame said was durable, was.
func (c *copier) flush(f Blocks, durable Position, seed uint32) error {
	if len(c.to.heads) == 0 {
		return nil
	}
	c.to.seal(durable, seed)
	if err := writeAt(f, c.to.buf, c.at); err != nil {
		return err
	}
	c.at += int64(len(c.to.buf))
	c.to.reset(0, copyAhead)
	return nil
}
