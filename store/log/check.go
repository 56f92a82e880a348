// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Report is what a log that nobody runs on consists of.
type Report struct {
	// First is the position with which it begins, Last its newest transaction, Checkpoint
	// the newest position that a checkpoint is known to cover.
	First, Last, Checkpoint Position
	Transactions            int
	Segments                []SegmentReport
	// Bytes of all segments' files.
	Bytes int64
}

// SegmentReport is one segment.
type SegmentReport struct {
	Path        string
	First, Last Position
	// Good is where what was read ends, in bytes from the start of the file.
	Good int64
}

// CheckOptions tells Check what to do on its way. Every zero value is good.
type CheckOptions struct {
	// FS is the file system. Default OS.
	FS FS
	// Event is shown every event with the position of its transaction.
	Event func(Position, []byte) error
	// Progress is told how many bytes of how many were read.
	Progress func(done, of int64)
}

// Check reads the log in dir as Recover would, and changes nothing: no transaction is
// lost that Recover would keep. Errors: *AlreadyOpenError, *CorruptError, that of Event,
// or the file system's. The report has what was read until then.
func Check(dir string, opt CheckOptions) (r Report, err error) {
	if opt.FS == nil {
		opt.FS = OS
	}
	l := &Log{dir: dir, fs: opt.FS}
	names, err := l.fs.ReadDir(dir)
	if err != nil {
		return r, fmt.Errorf("check log: %w", err)
	}
	lock, err := l.fs.Lock(filepath.Join(dir, "LOCK"))
	switch {
	case errors.Is(err, ErrLocked):
		return r, &AlreadyOpenError{Dir: dir}
	case err != nil:
		return r, fmt.Errorf("check log: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := l.listSegments(names); err != nil {
		return r, err
	}
	r.Bytes = l.replay.Load()
	read := func(p Position, event []byte) error {
		if p > r.Last {
			r.Transactions, r.Last = r.Transactions+1, p
			if opt.Progress != nil && r.Transactions%1024 == 0 {
				opt.Progress(l.replayed.Load(), r.Bytes)
			}
		}
		if opt.Event != nil {
			return opt.Event(p, event)
		}
		return nil
	}
	last, _, err := l.read(read)
	for i := range l.segments {
		s := &l.segments[i]
		r.Segments = append(r.Segments, SegmentReport{Path: s.path, First: s.first, Last: s.last, Good: s.bytes})
	}
	if len(l.segments) > 0 {
		r.First = l.segments[0].first
	}
	r.Last, r.Checkpoint = max(r.Last, last), l.checkpoint
	return r, err
}

// listSegments reads the headers of the segments among the names.
func (l *Log) listSegments(names []string) error {
	for _, name := range names {
		if !isSegment(name) || strings.HasSuffix(name, tempSuffix) {
			continue
		}
		path := filepath.Join(l.dir, name)
		h, size, err := l.readHeader(path)
		if err != nil {
			return err
		}
		if name != segmentName(h.first) {
			return &CorruptError{Damage: ForeignSegment, Path: path, Why: fmt.Sprintf("it says that it begins with position %d", h.first)}
		}
		l.segments = append(l.segments, segment{header: h, path: path, bytes: size})
	}
	for i := range l.segments {
		s := &l.segments[i]
		if s.id != l.segments[0].id {
			return &CorruptError{Damage: ForeignSegment, Path: s.path, Why: "it belongs to another log than the segment before it"}
		}
		l.id, l.incarnation = s.id, max(l.incarnation, s.incarnation)
		l.replay.Add(s.bytes)
	}
	return nil
}
