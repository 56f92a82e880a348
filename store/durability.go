// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store/log"
)

// What an answer is worth depends on Options.Sync. Three things do not:
//
//	a checkpoint covers what the log has synced      so the root is never ahead of the log
//	the log is cut behind a note that was synced     so what is gone is known to be covered
//	a pod has drained when its log was synced        so a node may be restarted under a freeze
//
// One case is left, since it is that or losing it: a log whose sync has failed is never
// synced again, and what was answered before it failed is published all the same (rescue).

// Durability is the answer to GET /v1/log and POST /v1/log/sync: what an answer is worth.
type Durability struct {
	Sync log.SyncMode `json:"sync"`
	// Interval is set in mode interval, as Go writes a duration.
	Interval string `json:"interval,omitempty"`
	// Loses says what is lost by what, for people.
	Loses string `json:"loses"`
	// Next is the position that the next transaction gets; Written the newest that was
	// answered; Durable the newest that a power cut does not take; Published the newest
	// that the root covers.
	Next      log.Position      `json:"next"`
	Written   log.Position      `json:"written"`
	Durable   log.Position      `json:"durable"`
	Published manifest.Position `json:"published"`
}

func (s *Store) durability(l *log.Log) Durability {
	has := l.Status()
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Durability{
		Sync: s.opt.Sync, Loses: s.opt.Sync.Loses(s.opt.SyncInterval),
		Next: has.Next, Written: has.Written, Durable: has.Durable, Published: s.covered,
	}
	if s.opt.Sync == log.SyncInterval {
		d.Interval = s.opt.SyncInterval.String()
	}
	return d
}

func (s *Store) getLog(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.durability(s.log.Load()))
}

// postSync answers when everything that was answered before survives a power cut.
func (s *Store) postSync(w http.ResponseWriter, _ *http.Request) {
	l := s.log.Load()
	if err := l.Sync(); err != nil {
		refuse(w, refused(err, false))
		return
	}
	s.signal.Notify()
	answer(w, http.StatusOK, s.durability(l))
}

// secure makes sure that the log cannot lose what a checkpoint is about to cover:
// otherwise it could give a position again that the root has.
func (s *Store) secure(p log.Position) error {
	l := s.log.Load()
	if l.Durable() >= p {
		return nil
	}
	err := l.Sync()
	var poisoned *log.PoisonedError
	if errors.As(err, &poisoned) {
		s.rescue(p)
		return nil
	}
	return err
}

// rescue notes that the root is about to cover positions up to p that the log may have
// lost: from then on this directory is not enough to start from. A disk that cannot even
// be told is no reason to lose them.
func (s *Store) rescue(p log.Position) {
	here, err := readBelonging(s.opt.FS, s.opt.Dir, s.opt.Writer)
	if err == nil && here.Rescued < p {
		here.Rescued = p
		err = here.write(s.opt.FS, s.opt.Dir)
	}
	if err != nil {
		s.opt.Report(fmt.Sprintf("the root gets positions up to %d that the failed log may not have: do not start from this data directory while the root cannot be reached: %v", p, err))
	}
}

// alone reports whether the log has everything, so that a start needs no root.
func (s *Store) alone(l *log.Log) bool {
	here, err := readBelonging(s.opt.FS, s.opt.Dir, s.opt.Writer)
	return err == nil && here.Rescued == 0 && l.Unbroken() == 1
}

// harden syncs the log while somebody holds the writers back: whoever asked for that may
// be about to take the power away. A failure poisons, which the status says.
func (s *Store) harden() {
	l := s.log.Load()
	if has := l.Status(); !s.waits() || has.Failure != "" || has.Durable >= has.Written {
		return
	}
	_ = l.Sync()
	s.signal.Notify()
}

// defaultSyncInterval is what a power cut may cost in mode interval.
const defaultSyncInterval = 50 * time.Millisecond
