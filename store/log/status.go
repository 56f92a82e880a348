// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

// Status is what a log says of itself.
type Status struct {
	// Durable is the newest position that is safe, Written the newest that the
	// operating system has, Next the one that the next transaction gets.
	Durable, Written, Next Position
	// Began is the newest position that there was when it was opened.
	Began Position
	// Oldest is the position with which the kept part of the log begins, Active the
	// one with which the segment begins that is written to. Zero: there is none.
	Oldest, Active Position
	// Checkpoint is the newest position that a checkpoint is known to cover.
	Checkpoint Position
	// Segments and Spares count files; Bytes is what the segments hold.
	Segments, Spares int
	Bytes            int64
	// Flushes and Syncs count since the start: batches that were written, and how often
	// the disk was waited for.
	Flushes, Syncs uint64
	// Batches counts the flushes by how many frames they had: 1, up to 2, up to 4, and so
	// on; the last one has all larger ones.
	Batches [Batches]uint64
	// Replayed of Replay bytes of files were read by Recover; both stay when it is done.
	Replayed, Replay int64
	// Failure is why the log takes nothing any more; empty: it does.
	Failure string
}

// Batches is how many sizes of a batch are told apart.
const Batches = 12

// Status returns what the log is, all at one moment.
func (l *Log) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := Status{
		Durable: l.durable, Written: l.written, Next: l.next, Checkpoint: l.checkpoint,
		Segments: len(l.segments), Spares: len(l.spares), Flushes: l.flushes, Syncs: l.syncs,
		Began: l.began, Batches: l.batches, Replayed: l.replayed.Load(), Replay: l.replay.Load(),
	}
	if n := len(l.segments); n > 0 {
		st.Oldest, st.Active = l.segments[0].first, l.segments[n-1].first
	}
	for i := range l.segments {
		st.Bytes += l.segments[i].bytes
	}
	if p := l.poison.Load(); p != nil {
		st.Failure = p.Error()
	}
	return st
}

// First returns the position with which the kept part of the log begins; 0 when
// the directory holds none.
func (l *Log) First() Position { return l.Status().Oldest }

// Unbroken returns the position from which on the log has everything: First, or the one
// behind the newest positions that were skipped.
func (l *Log) Unbroken() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := Position(0)
	for i := range l.segments {
		if s := &l.segments[i]; i == 0 || s.first > s.follows+1 {
			from = s.first
		}
	}
	return from
}

// Durable returns the newest position that is safe.
func (l *Log) Durable() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// Next returns the position that the next transaction gets.
func (l *Log) Next() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Checkpointed returns the newest position that a checkpoint is known to cover: whoever
// finds an older one was given an older copy.
func (l *Log) Checkpointed() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkpoint
}

// Err returns why the log takes no transactions: *PoisonedError, ErrClosed, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err()
}

// err is Err under mu.
func (l *Log) err() error {
	if p := l.poison.Load(); p != nil {
		return p
	}
	if !l.running || l.closing {
		return ErrClosed
	}
	return nil
}
