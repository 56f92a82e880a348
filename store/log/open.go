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
	"sync/atomic"
	"time"
)

// SyncMode says when a transaction is told to be in the log.
type SyncMode int

const (
	// SyncCommit: when it is durable. Whoever is told keeps it through a power cut.
	SyncCommit SyncMode = iota
	// SyncInterval: when the operating system has it. A death of the process costs
	// nothing, a power cut at most what was told within one Interval.
	SyncInterval
	// SyncNone: when the operating system has it. It is durable after Sync, after Close,
	// and when its segment is full. A power cut may cost everything else.
	SyncNone
)

// Options tunes a log. NewID is required; every other zero value is good.
type Options struct {
	// NewID returns the id of a log that is begun.
	NewID func() [16]byte
	// Mode says when a transaction is told to be in the log.
	Mode SyncMode
	// Interval is what a power cut may cost with SyncInterval. Default 50 ms.
	Interval time.Duration
	// SegmentSize is when a segment is sealed, in bytes. Default 16 MiB.
	SegmentSize int64
	// BlockSize is the unit of a write, in bytes: a block that holds something durable
	// is never written again. A power of two from 64; less than 4096, which is the
	// default, is for tests.
	BlockSize int
	// Spares is how many files are kept for coming segments: written ahead of need, and
	// taken from truncated ones. Default 4; negative: none.
	Spares int
	// MaxPending bounds the bytes that wait for the flusher; Append waits beyond. Default 8 MiB.
	MaxPending int
	// LockPatience is how long Open waits for another owner to end. Default 100 ms.
	LockPatience time.Duration
	// After is a timer. Default that of package time.
	After func(time.Duration) <-chan time.Time
	// FS is the file system. Default OS.
	FS FS
}

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Interval, 50*time.Millisecond)
	setDefault(&o.SegmentSize, 16<<20)
	setDefault(&o.BlockSize, alignment)
	setDefault(&o.Spares, 4)
	setDefault(&o.MaxPending, 8<<20)
	setDefault(&o.LockPatience, 100*time.Millisecond)
	if o.After == nil {
		o.After = time.After
	}
	if o.FS == nil {
		o.FS = OS
	}
	switch {
	case o.NewID == nil:
		return o, errors.New("log.Open: Options.NewID is required")
	case !goodBlock(o.BlockSize):
		return o, fmt.Errorf("log.Open: a block of %d bytes: want a power of two from %d to %d", o.BlockSize, minBlock, maxBlock)
	case o.Mode < SyncCommit || o.Mode > SyncNone:
		return o, fmt.Errorf("log.Open: there is no sync mode %d", o.Mode)
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Log is a log that this process owns. It is safe for concurrent use.
type Log struct {
	dir string
	fs  FS
	opt Options

	lock io.Closer
	id   [16]byte
	// incarnation is the highest that a file of this log has. It belongs to Open and
	// Recover, then to whoever has a batch on its way.
	incarnation uint64

	// files is held while the active segment changes, is synced behind the flusher's
	// back, or is closed. It is taken before mu.
	files sync.Mutex
	// active, seed and size belong to whoever has a batch on its way, once the flusher
	// runs; active changes under files.
	active Blocks
	seed   uint32
	size   int64
	grows  bool // the active segment's file was not written before

	// truncating is held by Truncate, which does not hold mu while it deletes.
	truncating sync.Mutex
	// unsyncedNames: one is gone, and the disk may not know. Under truncating.
	unsyncedNames bool

	mu sync.Mutex
	// work wakes the flusher, and whoever writes while it is stalled; moved whoever waits
	// for room, for Sync, or for an end.
	work, moved *sync.Cond
	// told wakes those who wait for a batch, by the parity of its generation. It leaves
	// mu: a thousand waiters do not queue for it when they are told.
	told [2]*sync.Cond

	segments []segment // oldest first; the last one is active after Recover
	spares   []string  // paths of files for coming segments
	spareNo  int       // of the newest spare
	running  bool      // Recover has finished
	idle     bool      // the flusher waits for something to do
	crowded  bool      // the newest batch in the log had more than one frame
	closing  bool
	pending  *batch // collects while the flusher is busy
	flushing *batch // is on its way; nil: none. It belongs to the flusher, or to who is alone
	free     *batch // the other one, while none is on its way
	next     Position
	// written is the newest position that the operating system has, durable the newest
	// that is safe.
	written, durable Position
	checkpoint       Position
	ask              window // see sync.go
	began            Position
	// applied is the newest position that readers of the store may see.
	applied        Position
	advanced       chan struct{} // closed when durable or applied moves; nil: nobody waits
	flushes, syncs uint64
	batches        [Batches]uint64
	// replayed of replay bytes were read; see Status.
	replayed, replay atomic.Int64

	// settled is the newest generation whose batch is in the log; poison is set once and
	// never cleared. Both change under mu.
	settled atomic.Uint64
	poison  atomic.Pointer[PoisonedError]

	stopped  chan struct{} // closed when the flusher has ended
	syncing  sync.WaitGroup
	ahead    chan struct{} // the next segment may be prepared
	kick     chan struct{} // the syncer has something to look at
	prepared sync.WaitGroup
}

// segment is one file.
type segment struct {
	header
	path string
	last Position // of its last transaction; first-1 when it has none
	// bytes that it holds. A spare's file is longer than that.
	bytes int64
	marks []mark // of what was written since the start
}

// Open takes the directory for this process and looks at the segments' headers.
// Recover must follow. Errors: *AlreadyOpenError, *CorruptError, or the file system's.
func Open(dir string, opt Options) (*Log, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, fs: opt.FS, opt: opt, stopped: make(chan struct{}), ahead: make(chan struct{}, 1), kick: make(chan struct{}, 1)}
	l.pending, l.free = &batch{gen: 1, block: opt.BlockSize}, &batch{block: opt.BlockSize}
	l.work, l.moved = sync.NewCond(&l.mu), sync.NewCond(&l.mu)
	for i := range l.told {
		l.told[i] = sync.NewCond(leaving{&l.mu})
	}
	if err := l.fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	// The directory's own name must be durable before anything in it is promised.
	if err := l.fs.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("open log: sync %s: %w", filepath.Dir(dir), err)
	}
	if l.lock, err = l.takeLock(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := l.list(); err != nil {
		return nil, errors.Join(err, l.lock.Close())
	}
	return l, nil
}

// takeLock tries until its patience is over: a predecessor that is just dying still
// has the lock.
func (l *Log) takeLock() (io.Closer, error) {
	pause, left := 100*time.Microsecond, l.opt.LockPatience
	for {
		lock, err := l.fs.Lock(filepath.Join(l.dir, "LOCK"))
		if err == nil || !errors.Is(err, ErrLocked) {
			return lock, err
		}
		if left <= 0 {
			return nil, &AlreadyOpenError{Dir: l.dir}
		}
		pause = min(pause, left)
		<-l.opt.After(pause)
		left -= pause
		pause = min(2*pause, 5*time.Millisecond)
	}
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
		case strings.HasSuffix(name, spareSuffix):
			if err := l.foundSpare(path); err != nil {
				return fmt.Errorf("open log: %w", err)
			}
		}
	}
	return l.listSegments(names)
}

func (l *Log) readHeader(path string) (header, int64, error) {
	f, size, err := l.fs.Open(path)
	if err != nil {
		return header{}, 0, fmt.Errorf("open log: %w", err)
	}
	defer f.Close()
	h, err := newReader(f, min(size, headerSize)).begin()
	if err != nil {
		return h, 0, errOf(path, err)
	}
	return h, size, nil
}
