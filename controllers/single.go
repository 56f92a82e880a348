// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import "sync"

// single lets many ask for the same work: it runs in one goroutine at a time, and
// once more if somebody asked while it ran.
type single struct {
	mu      sync.Mutex
	running bool
	again   bool
}

// ask begins f, or lets it run once more.
func (s *single) ask(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		s.again = true
		return
	}
	s.running = true
	go s.run(f)
}

func (s *single) run(f func()) {
	for {
		f()
		s.mu.Lock()
		if !s.again {
			s.running = false
			s.mu.Unlock()
			return
		}
		s.again = false
		s.mu.Unlock()
	}
}
