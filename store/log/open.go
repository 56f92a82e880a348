// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
)

// Options tunes a log. NewID is required; every other zero value is good.
type Options struct {
	// NewID returns the id of a log that is begun.
	NewID func() [16]byte
	// SegmentSize is when a segment is sealed, in bytes. Default 16 MiB.
	SegmentSize int64
	// MaxPending bounds the bytes that wait for the flusher; Append waits beyond. Default 8 MiB.
	MaxPending int
	// FS is the file system. Default OS.
	FS FS
}

// Log is a log that this process owns. It is safe for concurrent use.
type Log struct {
	dir string
	fs  FS
	opt Options

	lock io.Closer
	// segments, oldest first; the last one is active after Recover. Under mu.
	segments []segment
	id       [16]byte

	// active and its size belong to the flusher once it runs.
	active File
	size   int64

	mu      sync.Mutex
	wake    *sync.Cond // pending, closing or poison changed
	running bool       // Recover has finished
	closing bool
	stopped chan struct{} // closed when the flusher has ended
	pending *batch        // collects while the flusher is busy
	next    Position      // the one that the next Append gets
	durable Position
	poison  *PoisonedError // set once; never cleared
}

// segment is one file.
type segment struct {
	header
	path string
	last Position // of its last record; first-1 (or follows) when it has none
}

// Open takes the directory for this process and looks at the segments' headers.
// Recover must follow. Errors: ErrLocked, *CorruptError, or the file system's.
func Open(dir string, opt Options) (*Log, error) {
	if opt.NewID == nil {
		return nil, errors.New("log.Open: Options.NewID is required")
	}
	if opt.SegmentSize == 0 {
		opt.SegmentSize = 16 << 20
	}
	if opt.MaxPending == 0 {
		opt.MaxPending = 8 << 20
	}
	if opt.FS == nil {
		opt.FS = OS
	}
	l := &Log{dir: dir, fs: opt.FS, opt: opt, stopped: make(chan struct{}), pending: newBatch()}
	l.wake = sync.NewCond(&l.mu)
	if err := l.fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	// The directory's own name must be durable before anything in it is promised.
	if err := l.fs.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("open log: sync %s: %w", filepath.Dir(dir), err)
	}
	lock, err := l.fs.Lock(filepath.Join(dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l.lock = lock
	if err := l.list(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return l, nil
}

// list finds the segments and reads their headers.
func (l *Log) list() error {
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	for _, name := range names {
		path := filepath.Join(l.dir, name)
		switch {
		case strings.HasSuffix(name, tempSuffix): // a crash left it; it was never part of the log
			if err := l.fs.Remove(path); err != nil {
				return fmt.Errorf("open log: %w", err)
			}
		case isSegment(name):
			h, err := l.readHeader(path)
			if err != nil {
				return err
			}
			if name != segmentName(h.first) {
				return &CorruptError{Path: path, Why: fmt.Sprintf("it says that it begins with position %d", h.first)}
			}
			l.segments = append(l.segments, segment{header: h, path: path})
		}
	}
	for i := range l.segments {
		if l.segments[i].id != l.segments[0].id {
			return &CorruptError{Path: l.segments[i].path, Why: "it belongs to another log than the segment before it"}
		}
		l.id = l.segments[i].id
	}
	return nil
}

func (l *Log) readHeader(path string) (header, error) {
	f, size, err := l.fs.Open(path)
	if err != nil {
		return header{}, fmt.Errorf("open log: %w", err)
	}
	defer f.Close()
	raw := make([]byte, min(size, headerSize))
	if _, err := io.ReadFull(f, raw); err != nil {
		return header{}, fmt.Errorf("open log: read %s: %w", path, err)
	}
	h, err := decodeHeader(raw)
	if err != nil {
		return h, &CorruptError{Path: path, Why: err.Error()}
	}
	return h, nil
}

// First returns the position with which the kept part of the log begins; 0 when
// the directory holds none.
func (l *Log) First() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return 0
	}
	return l.segments[0].first
}

// Durable returns the newest position that is safe.
func (l *Log) Durable() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// Next returns the position that the next record gets.
func (l *Log) Next() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Err returns why the log takes no records: *PoisonedError, ErrClosed, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err()
}

func (l *Log) err() error {
	switch {
	case l.poison != nil:
		return l.poison
	case !l.running || l.closing:
		return ErrClosed
	default:
		return nil
	}
}
