// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import "hash/crc32"

// Write puts a transaction of one event into the log and waits: [Log.Append] and
// [Ticket.Wait] in one, and for a writer who is alone without the flusher. It allocates
// nothing.
//
// An error with position 0 means that the transaction is not in the log and never will be;
// with any other position nobody knows, and after a restart it may be there or not.
func (l *Log) Write(body []byte, apply func(Position)) (Position, error) {
	if len(body) == 0 || len(body) > MaxRecord {
		return 0, ErrTooLarge
	}
	bodySum := crc32.Checksum(body, castagnoli)
	l.mu.Lock()
	if err := l.room(frameSize + len(body)); err != nil {
		l.mu.Unlock()
		return 0, err
	}
	// Alone: the flusher sleeps and has nothing to do, and nobody came with the one before.
	// Whoever left his crowd would write one while all others wait, and so in turns.
	alone := l.idle && !l.crowded && l.flushing == nil && len(l.pending.heads) == 0
	l.pending.put(kindWhole, 0, l.next, body, bodySum)
	t := l.promise(apply)
	if !alone {
		l.wakeFlusher()
		l.mu.Unlock()
		return t.Position, t.Wait()
	}
	b, durable := l.detach()
	l.mu.Unlock()
	if !l.carry(b, durable) {
		l.giveUp()
	}
	return t.Position, t.Err()
}

// giveUp lets the flusher end, or Close, behind a batch that failed.
func (l *Log) giveUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushing = nil
	l.work.Broadcast()
}

// wakeFlusher tells the flusher that there is something to do for it: not while a batch
// is on its way, since whoever has that asks again behind it. Under mu.
func (l *Log) wakeFlusher() {
	if l.flushing == nil && (len(l.pending.heads) > 0 || l.closing) {
		l.work.Signal()
	}
}
