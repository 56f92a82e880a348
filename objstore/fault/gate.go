// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/salvor-io/salvor/objstore"
)

// gate is a rendezvous: one call arrives, a test lets it go.
type gate struct {
	name    string
	arrived chan struct{}
	open    chan struct{}
	once    sync.Once

	mu    sync.Mutex
	call  Call
	apply func(context.Context) (objstore.PutResult, error) // LandLater only
}

func newGate(name string) *gate {
	return &gate{name: name, arrived: make(chan struct{}), open: make(chan struct{})}
}

// arrive is called once: park and LandLater narrow their rule to one call.
func (g *gate) arrive(c Call, apply func(context.Context) (objstore.PutResult, error)) {
	g.mu.Lock()
	g.call, g.apply = c, apply
	g.mu.Unlock()
	close(g.arrived)
}

func (g *gate) await(ctx context.Context) (Call, error) {
	select {
	case <-g.arrived:
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.call, nil
	case <-ctx.Done():
		return Call{}, fmt.Errorf("no call arrived at %s: %w", g.name, ctx.Err())
	}
}

// Gate holds one call.
type Gate struct{ gate *gate }

// Arrived is closed when the call stands at the gate.
func (g *Gate) Arrived() <-chan struct{} { return g.gate.arrived }

// Await waits until the call stands at the gate and returns it. An error says
// that ctx ended before.
func (g *Gate) Await(ctx context.Context) (Call, error) { return g.gate.await(ctx) }

// Release lets the call go on; one that has not arrived yet will not be held.
// Releasing twice is fine.
func (g *Gate) Release() { g.gate.once.Do(func() { close(g.gate.open) }) }

// Late is a request on its way, whose caller no longer waits.
type Late struct{ gate *gate }

// Await waits until the request is on its way.
func (l *Late) Await(ctx context.Context) (Call, error) { return l.gate.await(ctx) }

// Land has the request take effect now and returns what nobody else will hear.
// It fails when there is no request on its way, or when it landed before.
func (l *Late) Land(ctx context.Context) (objstore.PutResult, error) {
	g := l.gate
	g.mu.Lock()
	apply := g.apply
	g.apply = nil
	g.mu.Unlock()
	if apply == nil {
		return objstore.PutResult{}, errors.New("land: no request is on its way at " + g.name)
	}
	return apply(ctx)
}
