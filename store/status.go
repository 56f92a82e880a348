// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store/log"
)

var _ control.Source = (*Store)(nil)

// Status implements control.Source.
func (s *Store) Status() control.Status {
	// The lock before the crowd: nobody writes any more once it was heeded.
	s.mu.Lock()
	st := control.Status{
		Writer: string(s.opt.Writer), Process: string(s.opt.Process), State: control.Serving,
		Published: uint64(s.covered), Waiting: s.waiting,
	}
	lock, order := s.lock, s.heeding
	s.mu.Unlock()
	who, why := s.gate.state()
	st.InFlight, st.Parked = who.writing, who.parked
	if l := s.log.Load(); l != nil {
		has := l.Status()
		st.Durable, st.Next, st.Oldest, st.LogBytes = uint64(has.Durable), uint64(has.Next), uint64(has.Oldest), has.Bytes
		if has.Written > has.Durable {
			st.Written = uint64(has.Written)
		}
	}
	if s.opt.Sync != log.SyncCommit {
		st.Sync = s.opt.Sync.String()
	}
	st.Mirror = s.mirrorStatus()
	if r := s.root.Load(); r != nil {
		st.Store = r.manifest.Identity().UID
		st.Epoch = r.writer.Epoch().Number
		st.Manifest = uint64(r.manifest.View().Version)
		st.Open, st.Abandoned = words(r.writer.Open()), words(r.writer.Abandoned())
	}
	poison := s.poison()
	disk, then := s.disk(poison != nil)
	st.Disk = disk
	switch {
	case poison != nil:
		st.State, st.PoisonReason = control.Poisoned, poison.Error()
		st.Poison = &control.Failure{Op: poison.Op, Class: control.FailureClass(poison.Class()), Free: then}
	case why != nil && why.Reason == ReasonStarting:
		st.State = control.Starting
	case why != nil:
		st.State = control.Draining
	case recovery.HoldsWriters(lock):
		st.State = control.Draining
		if lock.Mode == manifest.Frozen {
			st.State = control.Frozen
		}
	case order.drains():
		st.State = control.Draining
	}
	if order != nil {
		st.Order = order.id
	}
	if lock != nil {
		st.Lock = lock.Owner
	}
	return st
}

// Changed implements control.Source.
func (s *Store) Changed() <-chan struct{} { return s.signal.Changed() }

// Refresh implements control.Source.
func (s *Store) Refresh() {
	select {
	case s.nudge <- struct{}{}:
	default: // one is on its way already
	}
}

// poison returns why the log has failed; nil when it has not.
func (s *Store) poison() *log.PoisonedError {
	l := s.log.Load()
	if l == nil {
		return nil
	}
	var p *log.PoisonedError
	if errors.As(l.Err(), &p) {
		return p
	}
	return nil
}

// say keeps what the store waits for, and tells a person once.
func (s *Store) say(waiting string) {
	s.mu.Lock()
	changed := s.waiting != waiting
	s.waiting = waiting
	s.mu.Unlock()
	if !changed {
		return
	}
	if waiting != "" {
		s.opt.Report(waiting)
	}
	s.signal.Notify()
}

// cover notes the position that the newest published checkpoint covers.
func (s *Store) cover(p manifest.Position) {
	s.mu.Lock()
	changed := s.covered != p
	s.covered = p
	s.mu.Unlock()
	if changed {
		s.signal.Notify()
	}
}

func words(ops []manifest.OperationID) []string {
	var out []string
	for _, op := range ops {
		out = append(out, string(op))
	}
	return out
}
