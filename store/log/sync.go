// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import "time"

// window is what a power cut may cost: it opens with the first transaction that is told
// and that no sync covers, and closes with the sync that does. Under mu.
//
//	told ──────────┬─────── half of Interval ──▶ sync begins ──▶ sync ends: durable
//	               │                                  │
//	               └─────── Interval ─────────────────┴──▶ nobody is told until it ends
//
// What is told while a sync is under way opens the next window.
type window struct {
	open bool
	// half ends the time that transactions are collected for one sync, full the time in
	// which they may be told. nil without a bound.
	half, full <-chan time.Time
	// now: somebody waits for a sync.
	now bool
	// stalled: the window is over, and its sync is not.
	stalled bool
}

// unsynced notes that something was written that is not durable. Under mu.
func (l *Log) unsynced() {
	if l.ask.open {
		return
	}
	l.ask.open = true
	if l.opt.Mode == SyncInterval {
		l.ask.half, l.ask.full = l.opt.After(l.opt.Interval/2), l.opt.After(l.opt.Interval)
		l.wakeSyncer()
	}
}

// Sync returns when everything that was appended before is durable.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.err(); err != nil {
		return err
	}
	for target := l.next - 1; l.durable < target; {
		if err := l.err(); err != nil {
			return err
		}
		if l.written >= target && l.opt.Mode != SyncCommit {
			l.ask.now = true
			l.wakeSyncer()
		}
		l.moved.Wait()
	}
	return nil
}

// syncNote makes durable what has no position.
func (l *Log) syncNote() error {
	l.files.Lock()
	defer l.files.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	if err := l.active.Sync(); err != nil {
		l.fail(l.poisonOf("fsync", err))
		return l.Err()
	}
	return nil
}

func (l *Log) wakeSyncer() {
	select {
	case l.kick <- struct{}{}:
	default: // it will look anyway
	}
}

// sync makes durable what the flusher has written, when it is time or when somebody
// waits for it. It ends with the flusher; Close does the rest.
func (l *Log) sync() {
	defer l.syncing.Done()
	for {
		l.mu.Lock()
		ask := l.ask
		over := l.poison.Load() != nil
		l.mu.Unlock()
		if over {
			return
		}
		if !ask.now {
			select {
			case <-l.stopped:
				return
			case <-l.kick:
				continue
			case <-ask.half:
			}
		}
		l.syncWindow()
	}
}

// syncWindow syncs the active segment, and holds the flusher back when that takes
// longer than the window may be open.
func (l *Log) syncWindow() {
	l.files.Lock()
	defer l.files.Unlock()
	l.mu.Lock()
	full := l.ask.full
	l.ask = window{}
	l.mu.Unlock()
	done := make(chan *PoisonedError, 1)
	go func() { done <- l.syncActive() }()
	var p *PoisonedError
	select {
	case p = <-done:
	case <-full:
		l.stall(true)
		p = <-done
	}
	if p != nil {
		l.fail(p)
	}
	l.stall(false)
}

func (l *Log) stall(stalled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ask.stalled = stalled
	l.work.Broadcast()
}
