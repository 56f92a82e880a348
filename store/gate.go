// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"sync"
	"time"
)

// gate lets transactions in, counts them, and is closed while the store does not
// serve.
type gate struct {
	slots int

	mu     sync.Mutex
	inside int
	why    *Refusal      // nil: open
	empty  chan struct{} // closed when nobody is inside; nil when nobody waits for it
}

// enter takes a place; leave gives it back.
func (g *gate) enter() (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.why != nil {
		return nil, g.why
	}
	if g.inside == g.slots {
		return nil, &Refusal{Reason: ReasonOverloaded, Message: "too many transactions are in flight", RetryAfter: time.Second}
	}
	g.inside++
	return g.leave, nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// shut turns newcomers away with a reason; nil lets them in.
func (g *gate) shut(why *Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.why = why
}

// state returns how many are inside and why the gate is shut.
func (g *gate) state() (inside int, why *Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside, g.why
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
