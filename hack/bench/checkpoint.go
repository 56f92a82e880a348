// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/load"
)

// local is what needs no cluster: a store in this process, on a directory of this machine.
type local struct {
	dir string
	say func(format string, args ...any)
}

// temporary makes a directory below dir that is gone in the end.
func (l local) temporary(name string) (string, error) {
	return os.MkdirTemp(l.dir, "salvor-bench-"+name)
}

// serve starts a store with its log and its root in dir, and waits until it serves.
func (l local) serve(ctx context.Context, name string, change func(*store.Options)) (*store.Store, func() error, error) {
	dir, err := l.temporary(name)
	if err != nil {
		return nil, nil, err
	}
	o := store.Options{
		Dir: filepath.Join(dir, "data"), Writer: "bench-0", Process: manifest.ProcessID(ulid.Make().String()),
		OpenRoot: func(ctx context.Context) (objstore.Bucket, error) {
			return rooturl.Open(ctx, "file://"+filepath.Join(dir, "root"), rooturl.Options{})
		},
		NewID: func() string { return ulid.Make().String() }, NewLogID: func() [16]byte { return [16]byte([]byte(rand.Text())[:16]) },
		Checkpoint: time.Hour, Report: func(line string) { l.say("%s: %s", name, line) },
	}
	if change != nil {
		change(&o)
	}
	s, err := store.New(o)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for !s.Metrics().Ready {
		select {
		case err := <-ended:
			cancel()
			return nil, nil, errors.Join(err, errors.New("the store has ended before it served"))
		case <-s.Changed():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return s, func() error { cancel(); return errors.Join(<-ended, os.RemoveAll(dir)) }, nil
}

// checkpoint is the goal about commits while a large checkpoint runs: windows without one
// and windows with one take turns, under writes that come by the clock.
func (l local) checkpoint(ctx context.Context, mib, rounds int) error {
	l.say("goal 34: commits beside a checkpoint of %d MiB, %d times", mib, rounds)
	s, end, err := l.serve(ctx, "checkpoint", nil)
	if err != nil {
		return err
	}
	if err := fill(ctx, s, mib, l.say); err != nil {
		return errors.Join(err, end())
	}
	if _, err := s.Checkpoint(ctx); err != nil { // what follows is not the first of its kind
		return errors.Join(err, end())
	}
	open := load.Inside{Writers: 64, Bytes: 128, Every: time.Second / 400, Table: "large"}
	var idle, busy, took []time.Duration
	var ratios []float64
	for round := range rounds {
		a, err := during(ctx, s, open, func(ctx context.Context) error { return objstore.Sleep(ctx, 8*time.Second) })
		if err != nil {
			return errors.Join(err, end())
		}
		b, err := during(ctx, s, open, func(ctx context.Context) error {
			_, err := s.Checkpoint(ctx)
			return err
		})
		if err != nil {
			return errors.Join(err, end())
		}
		idle, busy, took = append(idle, a.Times...), append(busy, b.Times...), append(took, b.Elapsed)
		ratios = append(ratios, float64(b.P99)/float64(a.P99))
		l.say("round %d of %d: p99 %s without, %s with, in %s", round+1, rounds, a.P99.Round(time.Microsecond), b.P99.Round(time.Microsecond), b.Elapsed.Round(time.Millisecond))
	}
	slices.Sort(ratios)
	fmt.Printf(`
goal 34   %d checkpoints of %d MiB, under %d writes a second that come by the clock; windows take turns
  a commit, no checkpoint           %s
  a commit, beside a checkpoint     %s
  a checkpoint                      %s
  p99 of the second / p99 of the first, by round: median %.2f, least %.2f, most %.2f   (contract 10, land 3, stretch 1.2)

`, rounds, mib, int(time.Second/open.Every), micros(idle), micros(busy), micros(took), ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1])
	return end()
}

// micros are quantiles in microseconds.
func micros(d []time.Duration) string {
	at := func(q float64) time.Duration { return exact(d, q).Round(time.Microsecond) }
	return fmt.Sprintf("n=%d p50=%s p90=%s p99=%s p99.9=%s max=%s", len(d), at(.5), at(.9), at(.99), at(.999), at(1))
}

// fill puts rows of 1 KiB into one table.
func fill(ctx context.Context, s *store.Store, mib int, say func(string, ...any)) error {
	const batch = 1000
	began := time.Now()
	w := load.Inside{Writers: 4, Statements: batch, Bytes: 1024, Keys: mib << 10, Table: "large"}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	full := make(chan struct{})
	go func() {
		defer close(full)
		for s.Metrics().Commits < int64(mib<<10/batch)+8 && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	_, err := w.Run(ctx, s)
	<-full
	say("%d MiB of rows in %s", mib, time.Since(began).Round(time.Millisecond))
	return err
}

// during makes the load for as long as do takes.
func during(ctx context.Context, s *store.Store, l load.Inside, do func(context.Context) error) (load.Figures, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { defer cancel(); done <- do(ctx) }()
	f, err := l.Run(ctx, s)
	return f, errors.Join(err, <-done)
}
