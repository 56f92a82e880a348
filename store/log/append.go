// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"fmt"
	"hash/crc32"
	"sync"
)

// Ticket is the promise for one transaction.
type Ticket struct {
	// Position that the transaction has, if it gets into the log.
	Position Position
	log      *Log
	gen      uint64
}

// Append puts a transaction of one event into the log: see [Log.Commit].
func (l *Log) Append(body []byte, apply func(Position)) (Ticket, error) {
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
	l.wakeFlusher()
	return t, nil
}

// Commit gives the events the next position, as one transaction, and hands it to the
// flusher. When it is in the log (see SyncMode), apply is called with its position, in
// the order of positions and before Done; it must not call the log. After a crash all
// of its events are there, or none. The events are not kept.
//
// An error means that the transaction is not in the log and never will be.
func (l *Log) Commit(events [][]byte, apply func(Position)) (Ticket, error) {
	if len(events) == 1 {
		return l.Append(events[0], apply)
	}
	size, sums := 0, make([]uint32, len(events))
	for i, e := range events {
		if size += frameSize + len(e); len(e) == 0 || size > MaxRecord {
			return Ticket{}, ErrTooLarge
		}
		sums[i] = crc32.Checksum(e, castagnoli)
	}
	if len(events) == 0 {
		return Ticket{}, ErrTooLarge
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.room(size); err != nil {
		return Ticket{}, err
	}
	for i, e := range events {
		k := kindEvent
		switch i {
		case 0:
			k = kindBegin
		case len(events) - 1:
			k = kindCommit
		}
		l.pending.put(k, i, l.next, e, sums[i])
	}
	t := l.promise(apply)
	l.wakeFlusher()
	return t, nil
}

// Checkpoint notes in the log that a checkpoint elsewhere covers everything up to p:
// whoever opens the log later knows that there was one. Call it when the checkpoint can
// be read, and before what it covers is truncated. It takes no position, and returns
// when the note is durable, whatever the mode: what is truncated is gone for good, too.
func (l *Log) Checkpoint(p Position) error {
	body := checkpointBody(p)
	l.mu.Lock()
	if err := l.room(frameSize + len(body)); err != nil {
		l.mu.Unlock()
		return err
	}
	if p > l.written {
		defer l.mu.Unlock()
		return fmt.Errorf("a checkpoint cannot cover position %d: the log has %d", p, l.written)
	}
	if p <= l.checkpoint {
		l.mu.Unlock()
		return nil
	}
	l.checkpoint = p
	l.pending.put(kindCheckpoint, 0, l.next-1, body, crc32.Checksum(body, castagnoli))
	t := Ticket{Position: l.next - 1, log: l, gen: l.pending.gen}
	l.wakeFlusher()
	l.mu.Unlock()
	if err := t.Wait(); err != nil || l.opt.Mode == SyncCommit {
		return err
	}
	return l.syncNote()
}

// room waits until so many bytes may join the batch. Under mu, which it gives up while
// it waits.
func (l *Log) room(n int) error {
	for l.err() == nil && len(l.pending.buf) > 0 && len(l.pending.buf)+n > l.opt.MaxPending {
		l.moved.Wait()
	}
	return l.err()
}

// promise ends what was put at the next position. Under mu.
func (l *Log) promise(apply func(Position)) Ticket {
	t := Ticket{Position: l.next, log: l, gen: l.pending.gen}
	if apply != nil {
		l.pending.applies = append(l.pending.applies, applied{t.Position, apply})
	}
	l.next++
	return t
}

// Done is closed when it is known what became of the transaction.
func (t Ticket) Done() <-chan struct{} {
	l := t.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.known() {
		return closed
	}
	b := l.pending
	if l.flushing != nil && l.flushing.gen == t.gen {
		b = l.flushing
	}
	if b.done == nil {
		b.done = make(chan struct{})
	}
	return b.done
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Err is nil when the transaction is in the log. It may only be asked after Done. An
// error means that nobody knows: after a restart the transaction may be there or not.
func (t Ticket) Err() error {
	if t.log.settled.Load() >= t.gen {
		return nil
	}
	if p := t.log.poison.Load(); p != nil {
		return p
	}
	return ErrClosed
}

// Wait waits for Done and returns Err. It allocates nothing.
func (t Ticket) Wait() error {
	l := t.log
	for !t.known() {
		l.mu.Lock()
		if t.known() {
			l.mu.Unlock()
			break
		}
		l.told[t.gen&1].Wait() // leaves mu
	}
	return t.Err()
}

// known reports whether it is known what became of the transaction.
func (t Ticket) known() bool {
	return t.log.settled.Load() >= t.gen || t.log.poison.Load() != nil
}

// leaving makes a condition that is waited for with the mutex, and left without it.
type leaving struct{ mu *sync.Mutex }

func (leaving) Lock() {}

func (l leaving) Unlock() { l.mu.Unlock() }
