// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/store/log"
)

// maxGarbage is how many objects that nobody needs are kept at most.
const maxGarbage = 64

// Mirror copies one log, in one epoch. Status may be asked at any time; the rest waits
// for its turn.
type Mirror struct {
	opt Options
	// begin is the object of this epoch.
	begin Begin

	// turn is held by whoever works, requests included.
	turn sync.Mutex
	// next is the position of the log that is read next; pending what was read and is not
	// known to be in the root: nothing else takes its place before it is.
	next    log.Position
	pending *pending
	tip     *Link        // the newest range; nil: what comes next follows the checkpoints
	tried   log.Position // of the newest snapshot that was begun
	kept

	mu     sync.Mutex
	status Status
}

// Status is what a mirror says of itself.
type Status struct {
	// Epoch under which it writes.
	Epoch uint64
	// Mirrored is the newest position that the root has: in ranges, or in the embedder's own
	// checkpoints.
	Mirrored log.Position
	// Since is when the oldest durable transaction was noticed that is not mirrored; zero:
	// there is none.
	Since time.Time
	// Bytes of ranges and snapshots that the root has of the mirror, and of how many objects.
	Bytes   int64
	Objects int
	// Requests counts those that were sent since the start.
	Requests uint64
	// Failure is why nothing is mirrored now; empty: it is.
	Failure string
}

// Status returns what the mirror is, all at one moment.
func (m *Mirror) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// tell changes the status.
func (m *Mirror) tell(change func(*Status)) {
	m.mu.Lock()
	before := m.status
	change(&m.status)
	changed := before != m.status
	m.mu.Unlock()
	if changed {
		m.opt.Changed()
	}
}

// Start begins an epoch that goes on from the history in the inventory as the join says.
// It returns when the object that says so is there: from then on nothing that an older
// epoch mirrors is a part of the history. Errors are *TakenError, *ObjectError, or the
// bucket's.
func Start(ctx context.Context, opt Options, inv *Inventory, h History, j Join) (*Mirror, error) {
	opt = opt.withDefaults()
	m := &Mirror{opt: opt}
	m.begin = Begin{
		Store: opt.Store, Writer: opt.Writer, Epoch: opt.Epoch, Process: opt.Process,
		Position: j.Position, Continues: j.Continues, After: j.After,
	}
	if j.Tip != nil {
		digest, err := digestOf(ctx, opt.Bucket, j.Tip.Key(opt.Writer))
		if err != nil {
			return nil, err
		}
		m.begin.After = &Link{Epoch: j.Tip.Epoch, First: j.Tip.First, Last: j.Tip.Last, Digest: digest}
	}
	raw, err := envelope.Encode(beginKind, BeginFormat, &m.begin)
	if err == nil {
		err = put(ctx, opt.Bucket, m.patience(), BeginKey(opt.Writer, opt.Epoch), raw, opt.Process)
	}
	if err != nil {
		return nil, err
	}
	m.tip, m.next = m.begin.After, j.Position+1
	m.adopt(inv, h, j)
	m.status.Epoch = opt.Epoch
	m.count()
	return m, nil
}

func (m *Mirror) patience() objstore.Patience {
	return objstore.Patience{Bound: m.opt.Await, Now: m.opt.Now, Sleep: m.opt.Sleep}
}

// mirrored is the newest position that the root has. In turn.
func (m *Mirror) mirrored() log.Position {
	next := m.next
	if m.pending != nil {
		next = m.pending.name.First
	}
	return max(next-1, m.opt.Covered())
}

// count updates what the status says of positions and objects. In turn.
func (m *Mirror) count() {
	bytes, objects := m.kept.size()
	at := m.mirrored()
	m.tell(func(s *Status) { s.Bytes, s.Objects, s.Mirrored = bytes, objects, at })
}

// Run mirrors until ctx ends, or until an error that does not pass by itself:
// *TakenError, *log.CorruptError. What fails otherwise is tried again, and said in the
// Status. settled, if not nil, is called after each time that something was mirrored.
func (m *Mirror) Run(ctx context.Context, settled func(context.Context)) error {
	// In eighths of the interval, so that much at once is noticed soon. It makes no request.
	tick := max(m.opt.Interval/8, time.Millisecond)
	seen, failures := m.opt.Log.Status().Bytes, 0
	for wait := tick; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-m.opt.After(wait):
		}
		wait = tick
		if !m.due(seen) {
			continue
		}
		err := m.Sync(ctx)
		seen = m.opt.Log.Status().Bytes
		switch {
		case ctx.Err() != nil:
			return nil
		case lasting(err):
			return err
		case err != nil:
			failures++
			wait = min(tick<<min(failures, 10), max(m.opt.Interval, 15*time.Second))
			continue
		}
		failures = 0
		if settled != nil {
			settled(ctx)
		}
	}
}

// due reports whether something is to be sent now; seen is what the log had when it was
// sent last.
func (m *Mirror) due(seen int64) bool {
	is := m.opt.Log.Status()
	now, waits := m.opt.Now(), time.Duration(0)
	m.tell(func(s *Status) {
		if at := max(s.Mirrored, m.opt.Covered()); is.Durable <= at {
			s.Since, s.Mirrored = time.Time{}, at
			return
		}
		if s.Since.IsZero() {
			s.Since = now
		}
		waits = now.Sub(s.Since) + 1
	})
	return waits > m.opt.Interval || waits > 0 && is.Bytes-seen >= int64(m.opt.RangeSize)
}

// lasting reports whether trying again is of no use.
func lasting(err error) bool {
	var taken *TakenError
	var corrupt *log.CorruptError
	return errors.As(err, &taken) || errors.As(err, &corrupt)
}

// Sync mirrors everything that is durable when it is called, and tidies up behind it.
func (m *Mirror) Sync(ctx context.Context) error {
	m.turn.Lock()
	defer m.turn.Unlock()
	err := m.ship(ctx, m.opt.Log.Status().Durable)
	said := err
	if err == nil {
		// What is removed too late harms nobody.
		if said = m.tidy(ctx); lasting(said) {
			err = said
		}
	}
	m.count()
	durable, now := m.opt.Log.Status().Durable, m.opt.Now()
	m.tell(func(s *Status) {
		s.Failure = ""
		if said != nil {
			s.Failure = said.Error()
		}
		switch {
		case s.Mirrored >= durable:
			s.Since = time.Time{}
		case err == nil:
			s.Since = now
		}
	})
	return err
}

// request counts one.
func (m *Mirror) request(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Requests += uint64(n)
}

// Lag is what is durable and not mirrored, in transactions.
func (s Status) Lag(durable log.Position) uint64 {
	if durable <= s.Mirrored {
		return 0
	}
	return uint64(durable - s.Mirrored)
}

// String is the status in a sentence.
func (s Status) String() string {
	text := fmt.Sprintf("mirrored up to position %d under epoch %d: %d objects of %d bytes", s.Mirrored, s.Epoch, s.Objects, s.Bytes)
	if s.Failure != "" {
		text += ": " + s.Failure
	}
	return text
}
