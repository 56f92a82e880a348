// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/detect"
	"github.com/salvor-io/salvor/manifest"
)

// lookBound is how long one look into a root may take.
const lookBound = 30 * time.Second

// look finds what a writer has left behind: what its status named, and where it
// named nothing that still pends, by a listing. The caller holds the mutex; the
// work is done without it.
func (s *Streams) look(w *watched, ops []string, detected time.Time) {
	if len(ops) == 0 {
		s.find(w)
		return
	}
	ctx := s.ctx
	go func() {
		ctx, cancel := context.WithTimeout(ctx, lookBound)
		defer cancel()
		pend, err := s.sweep.named(ctx, w.root, ops, detected)
		switch {
		case err != nil:
			s.owe(w, err)
		case !pend: // it had finished them, and may have armed another that it could not name any more
			s.lookLater(w)
		}
	}()
}

// find lists a root: once at a time, whoever asks.
func (s *Streams) find(w *watched) {
	ctx := s.ctx
	w.finding.ask(func() {
		ctx, cancel := context.WithTimeout(ctx, lookBound)
		defer cancel()
		if err := s.sweep.all(ctx, w.root, normal); err != nil {
			s.owe(w, err)
		}
	})
}

// owe notes that a look has failed: the store's reconciler lists the root until
// that succeeds, with growing pauses.
func (s *Streams) owe(w *watched, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	s.log.Info("a look for pending operations failed; the root will be listed", "store", w.root.Store, "reason", short(err))
	w.owed = true
	s.stores.up(w.root.Store, normal, 0)
}

// Owed reports, once, whether a listing of the store's root is owed.
func (s *Streams) Owed(uid types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watched[uid]
	if w == nil || !w.owed {
		return false
	}
	w.owed = false
	return true
}

// lookLater lists a root that is still watched.
func (s *Streams) lookLater(w *watched) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watched[w.root.UID] == w && s.ctx.Err() == nil {
		s.find(w)
	}
}

// wordsBehind is how much later than a listing a live process may tell of what it
// has armed: two heartbeats of up to 200 streams. It is sent at once; this is for
// words that are on their way.
const wordsBehind = 2 * time.Second

// lookSoon lists a root once more when all streams have told what they have in
// hand. The caller holds the mutex.
func (s *Streams) lookSoon(w *watched) {
	if w.soon {
		return
	}
	w.soon = true
	time.AfterFunc(wordsBehind, func() {
		s.mu.Lock()
		w.soon = false
		s.mu.Unlock()
		s.lookLater(w)
	})
}

// Missing lists a root again: a RecoverySidecar was deleted by somebody, and its
// object may still be there.
func (s *Streams) Missing(store types.NamespacedName) {
	time.AfterFunc(time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if w := s.watched[s.byName[store]]; w != nil && s.ctx.Err() == nil {
			s.ledger.unmade(w.root.UID)
			s.find(w)
		}
	})
}

// followManifest reads what was published since, and tells detect who is registered.
func (s *Streams) followManifest(w *watched) {
	ctx := s.ctx
	w.following.ask(func() {
		ctx, cancel := context.WithTimeout(ctx, lookBound)
		defer cancel()
		before := w.root.Manifest.View().Version
		st, err := w.root.Manifest.Latest(ctx)
		if err == nil && st.Version > before {
			s.stores.up(w.root.Store, background, manifestEvery)
		}
		if w.root.away.note(err, s.opt.Now()) || err != nil && !isAway(err) {
			s.stores.up(w.root.Store, normal, 0)
		}
		s.Learned(w.root)
	})
}

// Refresh asks the live process of a writer to read the manifest: something that
// concerns it was published.
func (s *Streams) Refresh(root *Root, id manifest.WriterID) { s.nudge(root, id, control.Refresh) }

// nudge calls the live process of a writer.
func (s *Streams) nudge(root *Root, id manifest.WriterID, call func(context.Context, string, control.DialOptions) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watched[root.UID]
	if w == nil || w.writers[id] == nil || w.writers[id].addr == "" || !w.writers[id].ready {
		return
	}
	ctx, addr := s.ctx, w.writers[id].addr
	go func() {
		// It would find out by itself, later: nobody waits for the answer.
		_ = call(ctx, addr, control.DialOptions{Timeout: 2 * time.Second, DialContext: s.opt.DialContext})
	}()
}

// summary is what a WALStore's status says of its writers.
type summary struct {
	pods, running, streaming, registered int
	// poisoned are what the processes say whose logs have failed, by pod.
	poisoned map[string]*control.Status
	// fullest is how much of the fullest volume is used, from 0 to 1.
	fullest float64
	// behind are running pods that do not stream though they should.
	behind []string
	heard  bool
	// ahead: a writer has seen a later publication than we have.
	ahead     bool
	isolation detect.Isolation
}

// Summary counts the writers of a store.
func (s *Streams) Summary(root *Root) (sum summary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum.isolation = s.det.Isolation(s.opt.Now())
	sum.poisoned = map[string]*control.Status{}
	w := s.watched[root.UID]
	if w == nil {
		return sum
	}
	for _, epoch := range w.registered {
		if epoch.Process != "" {
			sum.registered++
		}
	}
	full := s.dialled >= s.opt.MaxStreams
	view := uint64(root.Manifest.View().Version)
	for id, wr := range w.writers {
		sum.pods++
		if wr.ready {
			sum.running++
		}
		switch {
		case wr.verdict.Reason == detect.Streaming || wr.verdict.Reason == detect.GaveUp:
			sum.streaming++
		case wr.ready && !full:
			sum.behind = append(sum.behind, string(id))
		}
		if wr.status != nil {
			sum.heard = true
			sum.ahead = sum.ahead || wr.status.Manifest > view
			if d := wr.status.Disk; d != nil && d.Total > 0 {
				sum.fullest = max(sum.fullest, float64(d.Total-d.Free)/float64(d.Total))
			}
			if wr.status.State == control.Poisoned {
				said := *wr.status
				sum.poisoned[string(id)] = &said
			}
		}
	}
	return sum
}
