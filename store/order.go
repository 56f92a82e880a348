// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
)

// hastened is the time between two checkpoints of a process that was asked to have
// little unpublished.
const hastened = time.Second

// heeded is the order that this process heeds. It ends when it is gone from the root,
// and in any case at until, by this process's own clock: who gave it may be gone too.
type heeded struct {
	id    string
	order manifest.Order
	until time.Time
}

func (h *heeded) drains() bool { return h != nil && h.order.Mode == manifest.Drain }

var _ control.Orders = (*Store)(nil)

// LookFor implements control.Orders. The id is a hint only: the object in the root
// decides whether there is an order, and whether it is for this process.
func (s *Store) LookFor(id string) {
	s.mu.Lock()
	s.asked = id
	s.mu.Unlock()
	s.Refresh()
}

// obey reads the order that was told of last, and whether the one that drains this
// process is still there. It reports whether a checkpoint is wanted at once. A root
// that does not answer changes nothing: the order ends by itself.
func (s *Store) obey(ctx context.Context, r *root) (publish bool) {
	s.mu.Lock()
	id, cur := s.asked, s.heeding
	s.mu.Unlock()
	if cur != nil && !s.opt.Now().Before(cur.until) {
		s.opt.Report(fmt.Sprintf("order %s is over after %s; transactions are taken again", cur.id, cur.order.Lasts.Duration()))
		s.follow(nil, cur.id)
		cur = nil
	}
	if id == "" && cur.drains() {
		id = cur.id
	}
	if id == "" {
		return false
	}
	o, err := manifest.ReadOrder(ctx, r.manifest.Bucket(), s.opt.Writer, id)
	var object *manifest.ObjectError
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		if cur != nil && cur.id == id {
			s.opt.Report(fmt.Sprintf("order %s was taken back", id))
			s.follow(nil, id)
		}
	case errors.As(err, &object), errors.Is(err, manifest.ErrInvalidOrder):
		s.opt.Report(err.Error()) // it will not become better
	case err != nil:
		return cur.drains() // asked again with the next pass
	case o.Process != s.opt.Process || o.Store != r.manifest.Identity().UID:
		// For a process that is gone, or in a root that was copied.
	case cur == nil || cur.id != id:
		publish = s.begin(id, o)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == id {
		s.asked = ""
	}
	return publish || s.heeding.drains()
}

// begin heeds an order, unless its time was over before.
func (s *Store) begin(id string, o manifest.Order) bool {
	s.mu.Lock()
	spent := s.spent == id
	s.mu.Unlock()
	if spent {
		return false
	}
	s.opt.Report(fmt.Sprintf("order %s of %s: %s: %s", id, o.By, o.Mode, o.Reason))
	s.follow(&heeded{id: id, order: o, until: s.opt.Now().Add(o.Lasts.Duration())}, "")
	return true
}

// follow heeds h, or nothing any more; spent is the order that is never heeded again.
func (s *Store) follow(h *heeded, spent string) {
	s.mu.Lock()
	s.heeding = h
	if spent != "" {
		s.spent = spent
	}
	s.gate.held(s.told())
	s.mu.Unlock()
	s.signal.Notify()
}

// told says what a client is told that may not write now; nil: it may. Under mu.
func (s *Store) told() func() *Refusal {
	switch {
	case recovery.HoldsWriters(s.lock):
		return frozen(s.lock, s.opt.Now)
	case s.heeding.drains():
		r := &Refusal{Reason: ReasonDraining, RetryAfter: time.Second, Message: fmt.Sprintf(
			"this process takes no more writes: %s (asked by %s); reads go on", s.heeding.order.Reason, s.heeding.order.By)}
		return func() *Refusal { return r }
	default:
		return nil
	}
}

// waits reports whether somebody who holds writers back may end that unheard.
func (s *Store) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lock != nil || s.heeding.drains()
}

// interval is the time between two checkpoints.
func (s *Store) interval() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heeding != nil {
		return min(s.opt.Checkpoint, hastened)
	}
	return s.opt.Checkpoint
}
