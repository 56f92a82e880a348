// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"sync"
	"time"
)

// gate lets transactions in, counts them, and is closed while the store does not
// serve. While a write lock holds the store, it parks those that write:
//
//	enter ──open──▶ inside ──leave──▶
//	  │ held, and it writes    ▲
//	  └──▶ parked ──thawed─────┘
//	          └──bound, or the caller's end──▶ refused
type gate struct {
	slots  int
	intake *intake

	mu sync.Mutex
	// inside are all that entered, writing those of them that may write; parked wait
	// outside for the end of the hold.
	inside, writing, parked int
	why                     *Refusal        // nil: open
	hold                    func() *Refusal // what a parked writer is told in the end; nil: nothing holds it
	thawed                  chan struct{}   // closed when the hold ends; nil when nobody waits for it
	empty                   chan struct{}   // closed when nobody is inside; nil when nobody waits for it
	drained                 func()          // called when the last writing one has left under a hold
}

// enter takes a place; leave gives it back. One that writes is parked while the
// store is held, up to the bound that patience begins. Who was parked has a place. n is
// how many bytes of the intake it has.
func (g *gate) enter(ctx context.Context, writes bool, n int64, patience func() <-chan time.Time) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.why == nil && (g.inside >= g.slots || writes && g.hold != nil && g.parked >= g.slots) {
		return nil, &Refusal{Reason: ReasonOverloaded, Message: "too many transactions are in flight", RetryAfter: time.Second}
	}
	for bound := (<-chan time.Time)(nil); g.why == nil && writes && g.hold != nil; {
		if bound == nil {
			bound = patience()
		}
		if err := g.intake.park(n); err != nil {
			return nil, err
		}
		err := g.park(ctx, bound)
		g.intake.unpark(n)
		if err != nil {
			return nil, err
		}
	}
	if g.why != nil {
		return nil, g.why
	}
	g.inside++
	if writes {
		g.writing++
	}
	return func() { g.leave(writes) }, nil
}

// park waits outside, without the mutex, until the hold ends or the gate is shut.
func (g *gate) park(ctx context.Context, bound <-chan time.Time) error {
	if g.thawed == nil {
		g.thawed = make(chan struct{})
	}
	thawed, told := g.thawed, g.hold
	g.parked++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.parked--
	}()
	select {
	case <-thawed:
		return nil
	case <-bound:
		return told()
	case <-ctx.Done():
		r := told()
		return &Refusal{Reason: ReasonFrozen, Message: "the caller stopped waiting: " + r.Message, RetryAfter: r.RetryAfter, Cause: context.Cause(ctx)}
	}
}

func (g *gate) leave(writes bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if writes {
		if g.writing--; g.writing == 0 && g.hold != nil && g.drained != nil {
			g.drained()
		}
	}
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// shut turns newcomers away with a reason, and those who are parked too; nil lets
// them in.
func (g *gate) shut(why *Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.why = why
	if why != nil {
		g.wakeParked()
	}
}

// held parks whoever comes to write; nil ends it, and lets the parked in.
func (g *gate) held(told func() *Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = told
	if told == nil {
		g.wakeParked()
	}
}

func (g *gate) wakeParked() {
	if g.thawed != nil {
		close(g.thawed)
		g.thawed = nil
	}
}

// crowd is how many are where.
type crowd struct{ inside, writing, parked int }

// state returns how many are where and why the gate is shut.
func (g *gate) state() (crowd, *Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return crowd{g.inside, g.writing, g.parked}, g.why
}

// wait returns when nobody is inside, or ctx has ended.
func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.inside == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
