// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// Recover reads every record in order, hands each to replay, and makes the log
// ready for Append. A torn tail is cut off; other damage is a *CorruptError, and
// nothing was changed then. An error of replay ends it.
//
// from is the lowest position that the next record may get: whoever knows from
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
	l.next = l.segments[len(l.segments)-1].last + 1
	l.durable, l.running = l.next-1, true
	go l.flush()
	return nil
}

// read hands every record to replay and returns the last position, and where the
// good part of the last segment ends.
func (l *Log) read(replay func(Position, []byte) error) (last Position, good int64, err error) {
	for i := range l.segments {
		s := &l.segments[i]
		if i > 0 && s.follows != last {
			return 0, 0, &CorruptError{Path: s.path, Why: fmt.Sprintf("it continues after position %d, the log ends at %d there: a segment is missing", s.follows, last)}
		}
		if good, err = l.scan(s, i == len(l.segments)-1, replay); err != nil {
			return 0, 0, err
		}
		last = max(s.last, s.follows)
	}
	return last, good, nil
}

// scan reads one segment and returns where its good part ends.
func (l *Log) scan(s *segment, active bool, replay func(Position, []byte) error) (int64, error) {
	f, size, err := l.fs.Open(s.path)
	if err != nil {
		return 0, fmt.Errorf("recover log: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	if _, err := r.Discard(headerSize); err != nil {
		return 0, fmt.Errorf("recover log: read %s: %w", s.path, err)
	}
	s.last = s.first - 1
	for at := int64(headerSize); ; {
		fr, err := readFrame(r, size-at)
		switch {
		case errors.Is(err, io.EOF) && size == at:
			return at, nil
		case errors.Is(err, errBadFrame):
			return at, l.torn(s, at, active)
		case err != nil:
			return 0, fmt.Errorf("recover log: read %s: %w", s.path, err)
		case fr.position != s.last+1:
			return 0, &CorruptError{Path: s.path, Offset: at, Why: fmt.Sprintf("it holds position %d, expected is %d", fr.position, s.last+1)}
		}
		if err := replay(fr.position, fr.body); err != nil {
			return 0, fmt.Errorf("replay position %d: %w", fr.position, err)
		}
		s.last, at = fr.position, at+int64(fr.size())
	}
}

// torn decides what a bad frame at offset at is: the torn end of the log (nil),
// or damage.
func (l *Log) torn(s *segment, at int64, active bool) error {
	damage := &CorruptError{Path: s.path, Offset: at, Why: fmt.Sprintf("the checksum of position %d is wrong", s.last+1)}
	if !active {
		damage.Why += ", and the segment is sealed"
		return damage
	}
	f, size, err := l.fs.Open(s.path)
	if err != nil {
		return fmt.Errorf("recover log: %w", err)
	}
	defer f.Close()
	if _, err := io.CopyN(io.Discard, f, at); err != nil {
		return fmt.Errorf("recover log: read %s: %w", s.path, err)
	}
	rest := make([]byte, size-at)
	if _, err := io.ReadFull(f, rest); err != nil {
		return fmt.Errorf("recover log: read %s: %w", s.path, err)
	}
	if off, proof, found := acknowledgedBehind(rest, s.last+1); found {
		damage.Why += fmt.Sprintf(", and position %d at byte %d proves that it was acknowledged", proof.position, at+int64(off))
		return damage
	}
	return nil
}

// resume makes the active segment: a copy of the good part of the last one, so
// that what was read is on the disk; or a new one, when there is none or when
// positions are skipped.
func (l *Log) resume(last Position, good int64, from Position) error {
	if len(l.segments) == 0 {
		l.id = l.opt.NewID()
		return l.begin(header{id: l.id, first: from})
	}
	s := l.segments[len(l.segments)-1]
	f, err := l.copyPrefix(s.path, good)
	if err != nil {
		return err
	}
	l.active, l.size = f, good
	if from > last+1 {
		return l.begin(header{id: l.id, first: from, follows: last})
	}
	return nil
}

// copyPrefix replaces the file by a synced copy of its first n bytes, open for
// more.
func (l *Log) copyPrefix(path string, n int64) (File, error) {
	old, _, err := l.fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer old.Close()
	return l.install(path, func(f File) error {
		_, err := io.CopyN(f, old, n)
		return err
	})
}

// begin makes a new segment active.
func (l *Log) begin(h header) error {
	path := filepath.Join(l.dir, segmentName(h.first))
	f, err := l.install(path, func(f File) error {
		_, err := f.Write(h.encode())
		return err
	})
	if err != nil {
		return err
	}
	if l.active != nil {
		err = l.active.Close() // it was synced after its last write
	}
	l.active, l.size = f, headerSize
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, segment{header: h, path: path, last: h.first - 1})
	return err
}

// install writes a file under a temporary name, syncs it, gives it its name and
// syncs that: a segment is there whole, header included, or not at all.
func (l *Log) install(path string, write func(File) error) (File, error) {
	f, err := l.fs.Create(path + tempSuffix)
	if err != nil {
		return nil, err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.Rename(path+tempSuffix, path)
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
