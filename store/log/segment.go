// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"fmt"
	"path/filepath"
)

// A segment is born with another name: a file of that name is whole and durable, header
// included, before it gets its own, so that there is no half of a segment.
//
//	spare or new file ── header ── Sync ── Rename to its name ── SyncDir ──▶ active
//	                                         ▲ a crash before: a spare, or litter
//	active ── the next one is active ──▶ sealed ── Truncate ──▶ spare, or gone
//
// A spare is written with zeros, or with what it held before, so that a flush into it
// changes no length and allocates nothing: the file system's journal has no part in it.
const spareSuffix = ".spare"

// rotate makes the next segment active. What stands in the one before is durable first:
// behind a segment that is sealed nothing is torn.
func (l *Log) rotate() *PoisonedError {
	l.files.Lock()
	defer l.files.Unlock()
	if p := l.syncActive(); p != nil {
		return p
	}
	if err := l.begin(l.nextHeader()); err != nil {
		return &PoisonedError{Op: "rotate", Cause: err}
	}
	return nil
}

// nextHeader is that of a segment that begins now.
func (l *Log) nextHeader() header {
	l.mu.Lock()
	defer l.mu.Unlock()
	return header{id: l.id, first: l.written + 1, follows: l.written, checkpoint: min(l.checkpoint, l.written)}
}

// begin makes a new segment active. Under files.
func (l *Log) begin(h header) error {
	s, f, err := l.install(h, nil)
	if err != nil {
		return err
	}
	if l.active != nil {
		err = l.active.Close() // it was synced after its last write
	}
	l.active, l.size, l.seed = f, int64(s.block), s.seed
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, s)
	return err
}

// install makes the file of a segment: its header and what fill adds behind it.
func (l *Log) install(h header, fill func(Blocks, *header) error) (s segment, f Blocks, err error) {
	l.incarnation++
	h.incarnation, h.block = l.incarnation, l.opt.BlockSize
	path := filepath.Join(l.dir, segmentName(h.first))
	from, f, err := l.vessel(path)
	if err != nil {
		return s, nil, err
	}
	block := AlignedBytes(h.block)
	copy(block, h.encode())
	err = writeAt(f, block, 0)
	if err == nil && fill != nil {
		err = fill(f, &h)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.Rename(from, path)
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		return s, nil, errors.Join(err, f.Close())
	}
	return segment{header: h, path: path, last: h.first - 1, bytes: int64(h.block)}, f, nil
}

// vessel opens a file that may become the segment at path: a spare, or a new one.
func (l *Log) vessel(path string) (from string, f Blocks, err error) {
	l.mu.Lock()
	from, l.grows = path+tempSuffix, true
	if n := len(l.spares); n > 0 {
		from, l.spares, l.grows = l.spares[n-1], l.spares[:n-1], false
	}
	l.mu.Unlock()
	f, err = l.openBlocks(from)
	return from, f, err
}

func (l *Log) openBlocks(path string) (Blocks, error) {
	return l.fs.OpenBlocks(path, l.opt.Mode == SyncCommit && l.opt.BlockSize >= alignment)
}

// foundSpare takes over a spare that an earlier process has left, or deletes it.
func (l *Log) foundSpare(path string) error {
	if _, err := fmt.Sscanf(filepath.Base(path), "%d"+spareSuffix, &l.spareNo); err != nil || len(l.spares) >= l.opt.Spares || !l.long(path) {
		return l.fs.Remove(path)
	}
	l.spares = append(l.spares, path)
	return nil
}

// long reports whether a file has a segment's size, or nearly. A shorter one is no spare:
// the segment that it becomes grows commit by commit, at half the rate, and nobody knows.
func (l *Log) long(path string) bool {
	f, size, err := l.fs.Open(path)
	return err == nil && f.Close() == nil && size >= l.opt.SegmentSize-l.opt.SegmentSize/8
}

// newSpare names one. Under mu.
func (l *Log) newSpare() string {
	l.spareNo++
	return filepath.Join(l.dir, fmt.Sprintf("%020d%s", l.spareNo, spareSuffix))
}

// busy is what an active segment that was not written before has to hold before it is
// given up for one that was, in bytes. A log with little in it never pays for more.
const busy = 256 << 10

// full reports whether n more bytes go into another segment: they do not fit, or they
// would make a file longer, commit by commit, and there is one that was written before.
// One that holds no transaction is never full: the next one would have its name.
func (l *Log) full(n int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.written < l.segments[len(l.segments)-1].first:
		return false
	case l.size+n > l.opt.SegmentSize:
		return true
	default:
		return l.grows && l.size > busy && len(l.spares) > 0
	}
}

// prepare asks for a spare when one will be needed and there is none. Under mu.
func (l *Log) prepare() {
	if l.opt.Spares > 0 && len(l.spares) == 0 && (l.size > l.opt.SegmentSize/2 || l.grows && l.size > busy) {
		select {
		case l.ahead <- struct{}{}:
		default: // it is at work
		}
	}
}

// prepareSpares writes files ahead of need. What fails here fails again where it is
// needed, and is told there.
func (l *Log) prepareSpares() {
	defer l.prepared.Done()
	for {
		select {
		case <-l.stopped:
			return
		case <-l.ahead:
		}
		l.mu.Lock()
		needless := len(l.spares) > 0 || l.opt.Spares <= 0
		path := l.newSpare()
		l.mu.Unlock()
		if needless {
			continue
		}
		if l.zeros(path) != nil {
			if l.Err() == nil {
				_ = l.fs.Remove(path) // or Open does
			}
			continue
		}
		l.mu.Lock()
		l.spares = append(l.spares, path)
		l.mu.Unlock()
	}
}

// zeros makes a file of one segment's size, piece by piece, so that no flush waits long
// behind it.
func (l *Log) zeros(path string) error {
	f, err := l.openBlocks(path)
	if err != nil {
		return err
	}
	piece := AlignedBytes(blocks(int(min(l.opt.SegmentSize, 256<<10)), l.opt.BlockSize))
	for at := int64(0); at < l.opt.SegmentSize && err == nil; at += int64(len(piece)) {
		if err = l.Err(); err == nil {
			err = writeAt(f, piece, at)
		}
		if err == nil {
			err = f.Sync()
		}
	}
	return errors.Join(err, f.Close())
}
