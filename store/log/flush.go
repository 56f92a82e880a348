// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"runtime"
)

// flush puts one batch after the other into the log, until the log is closed or
// poisoned.
func (l *Log) flush() {
	defer close(l.stopped)
	for previous := 0; ; {
		b, durable := l.take(previous)
		if b == nil {
			return
		}
		previous = len(b.heads)
		if !l.carry(b, durable) {
			return
		}
	}
}

// carry brings the batch that is on its way into the log and tells everybody who waits
// for it; false when the log is poisoned.
func (l *Log) carry(b *batch, durable Position) bool {
	if p := l.write(b, durable); p != nil {
		l.fail(p)
		return false
	}
	return l.settle(b)
}

// cohort bounds how often the flusher lets others go first. It does so while fewer than
// in the batch before have come back: not after a lonely one, and not behind a crowd,
// whose batch is large enough whoever is late.
const (
	cohort = 4
	lonely = 2
	crowd  = 1024
)

// take waits for a batch; nil when the log is closed and nothing is left, or when it
// is poisoned. It returns while nobody else has one on its way.
func (l *Log) take(previous int) (*batch, Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = true
	for l.flushing != nil || l.poison.Load() == nil && len(l.pending.heads) == 0 && !l.closing {
		l.work.Wait()
	}
	l.idle = false
	// Those who were just told come back in a moment: otherwise they and the others take
	// turns, and each flush serves half of them.
	for i := 0; i < cohort && previous >= lonely && previous < crowd && len(l.pending.heads) < previous && !l.closing; i++ {
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
	}
	if len(l.pending.heads) == 0 || l.poison.Load() != nil {
		return nil, 0
	}
	return l.detach()
}

// detach puts the batch that collects on its way, while none is: whoever does is the one
// who writes, until it has settled. Under mu.
func (l *Log) detach() (*batch, Position) {
	b := l.pending
	l.flushing, l.pending, l.free = b, l.free, nil
	l.pending.reset(b.gen+1, l.opt.MaxPending)
	l.moved.Broadcast() // there is room again
	return b, l.durable
}

// write puts the frames of one batch into one segment.
func (l *Log) write(b *batch, durable Position) *PoisonedError {
	if l.full(int64(blocks(len(b.buf), b.block))) {
		if p := l.rotate(); p != nil {
			return p
		}
	}
	b.seal(durable, l.seed)
	if err := writeAt(l.active, b.buf, l.size); err != nil {
		return l.poisonOf("write", err)
	}
	l.size += int64(len(b.buf))
	if l.opt.Mode == SyncCommit {
		if err := l.active.Sync(); err != nil {
			return l.poisonOf("fsync", err)
		}
	}
	return nil
}

// poisonOf says what failed, and where: the file may have had another name when it was
// opened.
func (l *Log) poisonOf(op string, err error) *PoisonedError {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return &PoisonedError{Op: op, Cause: fmt.Errorf("%s: %w", l.segments[len(l.segments)-1].path, err)}
}

// writeAt writes all of b or fails.
func writeAt(f io.WriterAt, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// settle tells everybody who waits for b that it is in the log; false when the log was
// poisoned in the meantime.
func (l *Log) settle(b *batch) bool {
	l.mu.Lock()
	for l.ask.stalled && l.poison.Load() == nil {
		l.work.Wait() // nobody is told before the disk has caught up
	}
	if l.poison.Load() != nil {
		l.mu.Unlock()
		return false
	}
	l.flushes++
	l.written = b.last
	if l.opt.Mode == SyncCommit {
		l.durable = b.last
		l.syncs++
	} else {
		l.unsynced()
	}
	active := &l.segments[len(l.segments)-1]
	active.last, active.bytes = b.last, l.size
	if n := len(active.marks); l.size-markEvery > int64(active.block) && (n == 0 || l.size-markEvery > active.marks[n-1].at) {
		active.marks = append(active.marks, mark{b.last, l.size})
	}
	l.crowded = len(b.heads) > 1
	l.batches[min(bits.Len(uint(len(b.heads)-1)), Batches-1)]++
	l.mu.Unlock()
	for _, a := range b.applies {
		a.apply(a.position)
	}
	l.mu.Lock()
	l.settled.Store(b.gen)
	l.applied = b.last
	l.advance()
	if b.done != nil {
		close(b.done)
	}
	told := l.told[b.gen&1] // b belongs to others behind mu
	l.flushing, l.free = nil, b
	l.moved.Broadcast()
	l.prepare()
	l.wakeFlusher()
	l.mu.Unlock()
	told.Broadcast()
	return true
}

// fail poisons the log, if nobody did before, and tells everybody who waits. What was
// on its way is known to nobody, and the rest is never written.
func (l *Log) fail(p *PoisonedError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.poison.CompareAndSwap(nil, p) {
		return // the first reason is the reason
	}
	for _, b := range []*batch{l.flushing, l.pending} {
		if b != nil && b.done != nil {
			close(b.done)
			b.done = closed
		}
	}
	l.advance()
	l.work.Broadcast()
	l.moved.Broadcast()
	l.told[0].Broadcast()
	l.told[1].Broadcast()
}

// Close makes what was appended durable, ends the flusher and gives the directory up.
// It returns why the last transactions are not durable, if so. After a failure nothing
// is synced any more: a second try could report success for what is lost.
func (l *Log) Close() error {
	l.mu.Lock()
	running, first := l.running, !l.closing
	l.closing = true
	l.advance()
	l.work.Broadcast()
	l.moved.Broadcast()
	l.mu.Unlock()
	if !first {
		return ErrClosed
	}
	// A truncation that has begun ends before somebody else may own the directory.
	l.truncating.Lock()
	defer l.truncating.Unlock()
	var err error
	switch {
	case running:
		<-l.stopped
		l.syncing.Wait()
		l.prepared.Wait()
		err = l.closeActive()
	case l.active != nil: // Recover has failed
		err = l.active.Close()
	}
	if p := l.poison.Load(); p != nil {
		err = errors.Join(p, err)
	}
	return errors.Join(err, l.lock.Close())
}

// closeActive syncs what no sync has covered yet, and closes the segment.
func (l *Log) closeActive() error {
	l.files.Lock()
	defer l.files.Unlock()
	if p := l.syncActive(); p != nil {
		l.fail(p)
	}
	return l.active.Close()
}

// syncActive makes everything that was written durable. Under files, and by nobody who
// holds mu.
func (l *Log) syncActive() *PoisonedError {
	l.mu.Lock()
	target, needless := l.written, l.written == l.durable || l.poison.Load() != nil
	l.mu.Unlock()
	if needless {
		return nil
	}
	if err := l.active.Sync(); err != nil {
		return l.poisonOf("fsync", err)
	}
	l.synced(target)
	return nil
}

// synced notes that everything up to p is durable.
func (l *Log) synced(p Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.poison.Load() != nil {
		return // of an older failure nothing is durable that was not before
	}
	l.durable = max(l.durable, p)
	l.syncs++
	l.moved.Broadcast()
	l.advance()
}
