// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"net/http"
	"time"

	"github.com/google/btree"

	"github.com/salvor-io/salvor/store/log"
)

// A snapshot is all tables at one position, for whoever reads more than a page. It is
// kept for a bounded time, there is a bounded number of them, and what they keep in
// memory that nobody else does is bounded: beyond, the oldest one goes. Whoever comes
// back to one that is gone is told to start again.

// The bounds of a snapshot's time.
const (
	defaultTTL = time.Minute
	maxTTL     = 10 * time.Minute
)

// What a row costs beside its bytes, and what a write into a table that a snapshot
// shares costs: it copies the nodes on its way, a whole table's at most.
const (
	rowOverhead = 64
	pathCost    = 8 << 10
	nodeShare   = 128 // of one row
)

// snapshots are the ones that are open. Under tables.mu.
type snapshots struct {
	open     map[string]*openSnapshot
	most     int
	maxBytes int64
	now      func() time.Time
	// dropped counts those that went before their time.
	dropped int64
}

type openSnapshot struct {
	snapshot
	opened, until time.Time
	rows          int64
	// What tables.replaced and tables.written were.
	replaced, written int64
}

// keeps is about how many bytes are in memory for the snapshot alone.
func (o *openSnapshot) keeps(t *tables) int64 {
	return t.replaced - o.replaced + min((t.written-o.written)*pathCost, o.rows*nodeShare)
}

// tidy ends those whose time is over, and the oldest one while they keep too much: it
// keeps all that the younger ones keep.
func (s *snapshots) tidy(t *tables) {
	if len(s.open) == 0 {
		return
	}
	now := s.now()
	for id, o := range s.open {
		switch {
		case !now.Before(o.until):
			delete(s.open, id)
		case o.keeps(t) > s.maxBytes:
			delete(s.open, id)
			s.dropped++
		}
	}
}

// Snapshot is the answer to POST /v1/snapshots.
type Snapshot struct {
	ID       string       `json:"snapshot"`
	Position log.Position `json:"position"`
	Expires  time.Time    `json:"expires"`
	Tables   []string     `json:"tables"`
}

// OpenSnapshot keeps all tables as they are now, for as long as ttl; 0: a minute.
func (s *Store) OpenSnapshot(ttl time.Duration) (Snapshot, error) {
	if ttl == 0 {
		ttl = defaultTTL
	}
	t := s.tables
	t.mu.Lock() // cloning a tree excludes its writers and its readers
	defer t.mu.Unlock()
	t.snapshots.tidy(t)
	if n := len(t.snapshots.open); n >= t.snapshots.most {
		return Snapshot{}, &Refusal{Reason: ReasonOverloaded, Message: fmt.Sprintf("%d snapshots are open, which is as many as there may be: close one, or wait", n), RetryAfter: 5 * time.Second}
	}
	now := s.opt.Now()
	o := &openSnapshot{snapshot: snapshot{position: t.applied, tables: map[string]*btree.BTreeG[Row]{}}, opened: now, until: now.Add(ttl), replaced: t.replaced, written: t.written}
	for name, tab := range t.visible {
		o.tables[name] = tab.rows.Clone()
		o.rows += int64(tab.rows.Len())
	}
	id := s.opt.NewID()
	t.snapshots.open[id] = o
	return Snapshot{ID: id, Position: o.position, Expires: o.until, Tables: o.names()}, nil
}

// CloseSnapshot gives one up; one that is gone is none.
func (s *Store) CloseSnapshot(id string) {
	s.tables.mu.Lock()
	defer s.tables.mu.Unlock()
	delete(s.tables.snapshots.open, id)
}

// at returns a table in a snapshot, to be read without a lock; nil: it has none of the
// name.
func (t *tables) at(id, name string) (*btree.BTreeG[Row], log.Position, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.snapshots.tidy(t)
	o := t.snapshots.open[id]
	if o == nil {
		return nil, 0, &Refusal{Reason: ReasonSnapshotGone, Message: fmt.Sprintf(
			"snapshot %q is gone: its time was over, it kept more than %d bytes in memory, or the process was restarted: start again with POST /v1/snapshots", clip(id), t.snapshots.maxBytes)}
	}
	return o.tables[name], o.position, nil
}

func (s *Store) postSnapshot(w http.ResponseWriter, r *http.Request) {
	ttl, err := duration(r.URL.Query().Get("ttl"), maxTTL)
	if err != nil {
		s.refuse(w, err)
		return
	}
	snap, err := s.OpenSnapshot(ttl)
	if err != nil {
		s.refuse(w, err)
		return
	}
	answer(w, http.StatusCreated, snap)
}

func (s *Store) deleteSnapshot(w http.ResponseWriter, r *http.Request) {
	s.CloseSnapshot(r.PathValue("snapshot"))
	w.WriteHeader(http.StatusNoContent)
}

// ages are the snapshots that are open, for who watches: how many, and how old the
// oldest is.
func (t *tables) ages(now time.Time) (open int, oldest time.Duration, dropped int64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, o := range t.snapshots.open {
		oldest = max(oldest, now.Sub(o.opened))
	}
	return len(t.snapshots.open), oldest, t.snapshots.dropped
}
