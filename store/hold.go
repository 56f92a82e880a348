// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// A store that is held looks at the manifest again and again, so that it goes on
// when the lock ends although nobody tells it.
const (
	holdLookFirst = 250 * time.Millisecond
	holdLookMost  = 5 * time.Second
)

// heed does what the manifest says of the write lock: who comes to write is parked
// while somebody holds it, but for a roll-back (see [recovery.HoldsWriters]), for which
// only the checkpoints wait. Those who are inside already are finished.
//
// It is remembered on disk before it is told: whoever is told relies on it, and the
// next process here may have to start while nobody can read the manifest.
func (s *Store) heed(l *manifest.Lock) {
	same := func(other *manifest.Lock) bool { return l == other || l != nil && other != nil && *l == *other }
	if recovery.HoldsWriters(l) && !same(s.held()) {
		s.gate.held(frozen(l, s.opt.Now))
	}
	if !same(s.kept) {
		if err := writeHold(s.opt.FS, s.opt.Dir, l); err != nil {
			// A disk that is full must not keep a freeze from being held, nor from ending.
			s.opt.Report(fmt.Sprintf("a restart that finds no root may not know what became of the write lock: %v", err))
		} else {
			s.kept = l
		}
	}
	if same(s.held()) {
		return
	}
	s.mu.Lock()
	s.lock = l
	s.gate.held(s.told()) // an order may hold them back, too
	s.mu.Unlock()
	s.signal.Notify()
}

// held returns the lock that the store heeds, whether or not it holds writers back; nil
// when there is none.
func (s *Store) held() *manifest.Lock {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lock
}

// frozen is what a client is told, then, who waited for the end of a lock in vain.
func frozen(l *manifest.Lock, now func() time.Time) func() *Refusal {
	return func() *Refusal {
		const more = "reads go on, and `salvor manifest show` tells more"
		// Nobody knows whether it ends earlier; this process's clock may be wrong.
		again := min(max(l.Until.Sub(now()), time.Second), 30*time.Second)
		r := &Refusal{Reason: ReasonFrozen, RetryAfter: again, Message: fmt.Sprintf("no writes until %s: the store is %s for %q by %s; %s",
			l.Until.UTC().Format(time.RFC3339), l.Mode, l.Reason, l.Owner, more)}
		if !now().Before(l.Until) {
			r.RetryAfter = holdLookMost
			r.Message = fmt.Sprintf("no writes yet: the store was %s for %q by %s until %s, and the object store, by whose clock that ends, has not confirmed it; %s",
				l.Mode, l.Reason, l.Owner, l.Until.UTC().Format(time.RFC3339), more)
		}
		return r
	}
}

// expire ends a lock whose time is over by the object store's date: with the
// operator gone somebody has to, and every process that waits for it may.
func (s *Store) expire(ctx context.Context, r *root) error {
	if r.manifest.View().Lock == nil {
		return nil
	}
	_, err := r.manifest.Expire(ctx, manifest.Publisher{
		Role: manifest.RoleWriter, Process: s.opt.Process, Writer: s.opt.Writer, Epoch: r.writer.Epoch(),
	})
	s.note(r)
	return err
}
