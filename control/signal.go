// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package control

import "sync"

// Signal tells any number of waiters that something changed. The zero value is
// ready. A waiter takes the channel before it looks, so that no change between
// the look and the wait is missed.
type Signal struct {
	mu sync.Mutex
	ch chan struct{} // nil: nobody has asked since the last Notify
}

// Changed returns a channel that the next Notify closes.
func (s *Signal) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

// Notify wakes everybody who waits.
func (s *Signal) Notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
