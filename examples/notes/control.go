// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package notes

import (
	"context"
	"errors"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store/log"
)

var _ control.Source = (*Notes)(nil)

// Run makes checkpoints, and looks at the manifest when somebody says that it has changed,
// until ctx ends. An error is for a person: another process has this store's name.
func (n *Notes) Run(ctx context.Context) error {
	every := time.NewTicker(n.opt.Every)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.nudge:
		case <-every.C:
		}
		err := n.look(ctx)
		if err == nil {
			err = n.Checkpoint(ctx)
		}
		if errors.Is(err, manifest.ErrSuperseded) {
			return err
		}
		// Anything else waits for the next time: a root that is away, a write lock, an
		// operation that has to be recovered first. The log has everything.
	}
}

// heed parks the writers while somebody holds the store. What is under way is finished
// first, so whoever reads the lock in the status knows that nothing begins any more.
func (n *Notes) heed(l *manifest.Lock) {
	n.writing.Lock()
	defer n.writing.Unlock()
	n.told.Lock()
	n.lock = l
	n.told.Unlock()
	n.signal.Notify()
}

func (n *Notes) held() *manifest.Lock {
	n.told.Lock()
	defer n.told.Unlock()
	return n.lock
}

// Status implements control.Source.
func (n *Notes) Status() control.Status {
	has, st := n.log.Status(), n.manifest.View()
	s := control.Status{
		Store: n.manifest.Identity().UID, Writer: string(n.opt.Writer), Process: string(n.opt.Process), Epoch: n.writer.Epoch().Number,
		State: control.Serving, Manifest: uint64(st.Version), Published: uint64(n.published()),
		Durable: uint64(has.Durable), Next: uint64(has.Next), Oldest: uint64(has.Oldest), LogBytes: has.Bytes,
	}
	for _, op := range n.writer.Open() {
		s.Open = append(s.Open, string(op))
	}
	for _, op := range n.writer.Abandoned() {
		s.Abandoned = append(s.Abandoned, string(op))
	}
	if l := n.held(); l != nil {
		s.Lock, s.State = l.Owner, control.Draining
		if l.Mode == manifest.Frozen {
			s.State = control.Frozen
		}
	}
	var p *log.PoisonedError
	if errors.As(n.log.Err(), &p) {
		s.State, s.PoisonReason = control.Poisoned, p.Error()
		s.Poison = &control.Failure{Op: p.Op, Class: control.FailureClass(p.Class())}
	}
	return s
}

// Changed implements control.Source.
func (n *Notes) Changed() <-chan struct{} { return n.signal.Changed() }

// Refresh implements control.Source.
func (n *Notes) Refresh() {
	select {
	case n.nudge <- struct{}{}:
	default: // one is on its way already
	}
}
