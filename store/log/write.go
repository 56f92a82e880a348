// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import "hash/crc32"

// A writer who is alone needs no flusher: it would be woken, would wake him again, and in
// between each would wait for a core. He does what it does, in its place:
//
//	Enter   the transaction is in the batch that collects; nobody is woken
//	Push    still alone: the batch is on its way, by the caller himself
//	        others came, or the flusher is at work: the flusher takes all of them
//
// A batch is on its way by one of them at a time (Log.flushing), so there is still one
// order, one file that is written to, and one who tells.

// Write puts a transaction of one event into the log and waits: [Log.Enter], [Ticket.Push]
// and [Ticket.Wait] in one. It allocates nothing.
//
// An error with position 0 means that the transaction is not in the log and never will be;
// with any other position nobody knows, and after a restart it may be there or not.
func (l *Log) Write(body []byte, apply func(Position)) (Position, error) {
	t, err := l.Enter(body, apply)
	if err != nil {
		return 0, err
	}
	t.Push()
	return t.Position, t.Wait()
}

// Enter is [Log.Append] for whoever calls [Ticket.Push] next, without fail: while he is
// alone, nobody else sees to it that the transaction gets into the log.
func (l *Log) Enter(body []byte, apply func(Position)) (Ticket, error) {
	if len(body) == 0 || len(body) > MaxRecord {
		return Ticket{}, ErrTooLarge
	}
	bodySum := crc32.Checksum(body, castagnoli)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.room(frameSize + len(body)); err != nil {
		return Ticket{}, err
	}
	l.pending.put(kindWhole, 0, l.next, body, bodySum)
	t := l.promise(apply)
	if !l.alone(t) {
		l.wakeFlusher()
	}
	return t, nil
}

// Push returns when the transaction is in the log, if the caller is alone, and otherwise
// at once: then the flusher brings it there.
func (t Ticket) Push() {
	l := t.log
	l.mu.Lock()
	if !l.alone(t) {
		l.wakeFlusher()
		l.mu.Unlock()
		return
	}
	b, durable := l.detach()
	l.mu.Unlock()
	if !l.carry(b, durable) {
		l.giveUp()
	}
}

// alone reports whether the flusher sleeps, t is all that there is to do, and nobody came
// with the one before: whoever left his crowd would write one transaction while all others
// wait, and so in turns. Under mu.
func (l *Log) alone(t Ticket) bool {
	return l.idle && !l.crowded && l.err() == nil && l.flushing == nil && l.pending.gen == t.gen && len(l.pending.heads) == 1
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
