// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import "errors"

// batch is what one fsync makes durable.
type batch struct {
	records []record
	bytes   int
	done    chan struct{} // closed when err is set
	err     error         // read after done
}

type record struct {
	position Position
	body     []byte
	apply    func(Position)
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// Ticket is the promise for one record.
type Ticket struct {
	// Position that the record has, if it becomes durable.
	Position Position
	batch    *batch
}

// Done is closed when it is known what became of the record.
func (t Ticket) Done() <-chan struct{} { return t.batch.done }

// Err is nil when the record is durable. It may only be asked after Done. An
// error means that nobody knows: after a restart the record may be there or not.
func (t Ticket) Err() error { return t.batch.err }

// Append gives the record the next position and hands it to the flusher. When it
// is durable, apply is called with its position, in the order of positions and
// before Done; it must not call the log. body is not changed by anybody until Done.
//
// An error means that the record is not in the log and never will be.
func (l *Log) Append(body []byte, apply func(Position)) (Ticket, error) {
	if len(body) == 0 || len(body) > MaxRecord {
		return Ticket{}, ErrTooLarge
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err() == nil && l.pending.bytes > 0 && l.pending.bytes+len(body) > l.opt.MaxPending {
		l.wake.Wait()
	}
	if err := l.err(); err != nil {
		return Ticket{}, err
	}
	t := Ticket{Position: l.next, batch: l.pending}
	l.next++
	l.pending.records = append(l.pending.records, record{position: t.Position, body: body, apply: apply})
	l.pending.bytes += frameSize + len(body)
	l.wake.Broadcast()
	return t, nil
}

// flush makes one batch after the other durable, until the log is closed or
// poisoned.
func (l *Log) flush() {
	defer close(l.stopped)
	var buf []byte
	for {
		b, durable := l.take()
		if b == nil {
			return
		}
		buf = buf[:0]
		for _, r := range b.records {
			buf = frame{position: r.position, durable: durable, body: r.body}.append(buf)
		}
		if p := l.write(buf, b.records[0].position); p != nil {
			l.fail(b, p)
			return
		}
		l.settle(b)
		if cap(buf) > 2*l.opt.MaxPending {
			buf = nil
		}
	}
}

// take waits for a batch; nil when the log is closed and nothing is left.
func (l *Log) take() (*batch, Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.pending.records) == 0 && !l.closing {
		l.wake.Wait()
	}
	if len(l.pending.records) == 0 {
		return nil, 0
	}
	b := l.pending
	l.pending = newBatch()
	l.wake.Broadcast() // there is room again
	return b, l.durable
}

// write puts the frames of one batch on the disk, in one segment.
func (l *Log) write(frames []byte, first Position) *PoisonedError {
	if l.size > headerSize && l.size+int64(len(frames)) > l.opt.SegmentSize {
		if err := l.begin(header{id: l.id, first: first, follows: first - 1}); err != nil {
			return &PoisonedError{Op: "rotate", Cause: err}
		}
	}
	if _, err := l.active.Write(frames); err != nil {
		return &PoisonedError{Op: "write", Cause: err}
	}
	l.size += int64(len(frames))
	if err := l.active.Sync(); err != nil {
		return &PoisonedError{Op: "fsync", Cause: err}
	}
	return nil
}

// settle tells everybody who waits for b that it is durable.
func (l *Log) settle(b *batch) {
	last := b.records[len(b.records)-1].position
	l.mu.Lock()
	l.durable = last
	l.segments[len(l.segments)-1].last = last
	l.mu.Unlock()
	for _, r := range b.records {
		if r.apply != nil {
			r.apply(r.position)
		}
	}
	close(b.done)
}

// fail poisons the log and tells everybody who waits.
func (l *Log) fail(b *batch, p *PoisonedError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.poison = p
	rest := l.pending
	l.pending = newBatch()
	l.wake.Broadcast()
	for _, b := range []*batch{b, rest} {
		b.err = p
		close(b.done)
	}
}

// Close makes what was appended durable, ends the flusher and gives the
// directory up. It returns why the last records are not durable, if so.
func (l *Log) Close() error {
	l.mu.Lock()
	running, first := l.running, !l.closing
	l.closing = true
	l.wake.Broadcast()
	l.mu.Unlock()
	if !first {
		return ErrClosed
	}
	var err error
	if running {
		<-l.stopped
		err = l.active.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.poison != nil {
		err = errors.Join(l.poison, err)
	}
	return errors.Join(err, l.lock.Close())
}
