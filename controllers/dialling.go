// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/detect"
)

const (
	// redialFirst is the pause before the first new try; it doubles up to redialMost.
	redialFirst = 100 * time.Millisecond
	redialMost  = 5 * time.Second
	// manyStreams is how many streams get a heartbeat each second; more share them.
	manyStreams = 200
	// followBehind is how far our view of a manifest may stay behind what its
	// writers say, so that a recovery does not begin with a long read.
	followBehind = 8
)

// begin starts the goroutine that keeps a writer's stream. The caller holds the mutex.
func (s *Streams) begin(wr *writer) {
	ctx, stop := context.WithCancel(s.ctx)
	wr.stop, wr.kick = stop, make(chan struct{}, 1)
	s.pods++
	go s.keep(ctx, wr, wr.addr, wr.kick)
}

// keep dials again and again until ctx ends.
func (s *Streams) keep(ctx context.Context, wr *writer, addr string, kick <-chan struct{}) {
	pause := redialFirst
	for ctx.Err() == nil {
		if s.slot() {
			if s.stream(ctx, wr, addr) {
				pause = redialFirst
			}
			s.giveBack()
		}
		select {
		case <-kick: // of a time when there was a stream
		default:
		}
		t := time.NewTimer(jitter(pause))
		select {
		case <-t.C:
			pause = min(2*pause, s.redialMost())
		case <-kick:
			pause = redialFirst
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// stream keeps one connection for as long as it lasts. It reports whether there
// was one.
func (s *Streams) stream(ctx context.Context, wr *writer, addr string) bool {
	st, err := control.Dial(ctx, addr, control.DialOptions{Heartbeat: s.heartbeat(), DialContext: s.opt.DialContext})
	if err != nil {
		s.locked(ctx, func() { s.refused(wr, err) })
		return false
	}
	defer st.Close()
	for heard := false; ; heard = true {
		status, err := st.Next()
		if err != nil {
			how := detect.StreamClosed
			if control.ReasonOf(err) == control.Silent {
				how = detect.StreamSilent
			}
			s.locked(ctx, func() {
				s.lost(wr, how)
				s.consider(wr)
			})
			return heard
		}
		s.locked(ctx, func() { s.heard(wr, &status) })
	}
}

// locked runs f under the mutex, unless the writer was dropped meanwhile.
func (s *Streams) locked(ctx context.Context, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() == nil {
		f()
	}
}

// slot takes one of the streams that we may have, if one is left.
func (s *Streams) slot() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dialled >= s.opt.MaxStreams {
		return false
	}
	s.dialled++
	return true
}

func (s *Streams) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialled--
}

func (s *Streams) heartbeat() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(s.pods, s.opt.MaxStreams)
	if n <= manyStreams {
		return time.Second
	}
	return time.Second * time.Duration(n) / manyStreams
}

// redialMost is short while we doubt ourselves: the doubt ends with the streams back.
func (s *Streams) redialMost() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isolated {
		return time.Second
	}
	return redialMost
}
