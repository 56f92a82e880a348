// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package progress prints one line per step with the time since the start and
// what is still to come, so that nobody wonders whether a quiet minute is a
// hang.
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Log writes to standard error: standard output carries only data.
type Log struct {
	W     io.Writer
	Start time.Time
	// Timings is where durations of earlier runs are kept; empty: nowhere.
	Timings string

	mu    sync.Mutex
	known map[string]time.Duration
}

// New returns a log whose clock starts now.
func New(timings string) *Log {
	l := &Log{W: os.Stderr, Start: time.Now(), Timings: timings, known: map[string]time.Duration{}}
	if data, err := os.ReadFile(timings); err == nil {
		// A damaged file only costs estimates.
		_ = json.Unmarshal(data, &l.known)
	}
	return l
}

// Printf prints one line.
func (l *Log) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.W, "[%7s] %s\n", Round(time.Since(l.Start)), fmt.Sprintf(format, args...))
}

// Estimate is how long a step took last time here, else the given guess.
func (l *Log) Estimate(step string, guess time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d, ok := l.known[step]; ok {
		return d
	}
	return guess
}

// heartbeat is how often a long step says that it still goes on.
const heartbeat = 30 * time.Second

// Step runs f between two lines and remembers how long it took.
func (l *Log) Step(step string, guess time.Duration, f func() error) error {
	about := Round(l.Estimate(step, guess))
	l.Printf("%s (about %s)", step, about)
	begin := time.Now()
	done := make(chan error, 1)
	go func() { done <- f() }()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.Printf("%s: %s of about %s", step, time.Since(begin).Round(time.Second), about)
			continue
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%s: %w", step, err)
			}
		}
		break
	}
	took := time.Since(begin)
	l.mu.Lock()
	l.known[step] = took
	data, err := json.MarshalIndent(l.known, "", "  ")
	l.mu.Unlock()
	if err == nil && l.Timings != "" {
		if err := os.MkdirAll(filepath.Dir(l.Timings), 0o755); err == nil {
			_ = os.WriteFile(l.Timings, data, 0o644)
		}
	}
	l.Printf("%s: done in %s", step, Round(took))
	return nil
}

// Round shortens a duration for people.
func Round(d time.Duration) time.Duration {
	switch {
	case d >= 100*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}
