// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store"
)

// Inside is a load on a store in the same process: what a commit costs without HTTP.
// Nothing is verified; see Run for that.
type Inside struct {
	// Writers at once, each of whose transactions puts so many rows of so many bytes,
	// under Keys keys, over and over. Defaults 16, 1, 128, 10,000.
	Writers, Statements, Bytes, Keys int
	// Table that is written. Default bench.
	Table string
	// Every makes it an open loop: a transaction is due that often, whether or not those
	// before it were answered; its time counts from then. 0: each writer sends its next
	// one when it has an answer.
	Every time.Duration
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// Figures are what a load came to.
type Figures struct {
	Commits int           `json:"commits"`
	Elapsed time.Duration `json:"elapsedNanoseconds"`
	P50     time.Duration `json:"p50Nanoseconds"`
	P99     time.Duration `json:"p99Nanoseconds"`
	Max     time.Duration `json:"maxNanoseconds"`
	// Syncs are how often the log has waited for the disk; Flushes how often it has written.
	Syncs   uint64 `json:"syncs"`
	Flushes uint64 `json:"flushes"`
	// Allocs and AllocBytes are those of the whole process.
	Allocs     uint64 `json:"allocs"`
	AllocBytes uint64 `json:"allocBytes"`
	// Times of all commits, in order.
	Times []time.Duration `json:"-"`
}

// Rate is commits a second.
func (f Figures) Rate() float64 { return float64(f.Commits) / f.Elapsed.Seconds() }

func (o Inside) withDefaults() Inside {
	for _, d := range []struct {
		v   *int
		def int
	}{{&o.Writers, 16}, {&o.Statements, 1}, {&o.Bytes, 128}, {&o.Keys, 10000}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.Table == "" {
		o.Table = "bench"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = objstore.Sleep
	}
	return o
}

// Run makes the load until ctx ends, which is no error.
func (o Inside) Run(ctx context.Context, s *store.Store) (Figures, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var f Figures
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	was, began := s.Metrics().Log, o.Now()
	var due chan time.Time
	var wg sync.WaitGroup
	if o.Every > 0 {
		due = make(chan time.Time)
		wg.Go(func() { o.schedule(ctx, due) })
	}
	times := make([][]time.Duration, o.Writers)
	for n := range o.Writers {
		wg.Go(func() {
			var err error
			if times[n], err = o.writer(ctx, s, n, due); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	f.Elapsed = o.Now().Sub(began)
	runtime.ReadMemStats(&after)
	is := s.Metrics().Log
	f.Syncs, f.Flushes = is.Syncs-was.Syncs, is.Flushes-was.Flushes
	f.Allocs, f.AllocBytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	for _, t := range times {
		f.Times = append(f.Times, t...)
	}
	slices.Sort(f.Times)
	if f.Commits = len(f.Times); f.Commits > 0 {
		f.P50, f.P99, f.Max = f.Times[f.Commits/2], f.Times[f.Commits*99/100], f.Times[f.Commits-1]
	}
	if err := context.Cause(ctx); err != nil && !over(err) {
		return f, err
	}
	return f, nil
}

// schedule says when a transaction is due, for as long as somebody listens.
func (o Inside) schedule(ctx context.Context, due chan<- time.Time) {
	for next := o.Now(); ; next = next.Add(o.Every) {
		if wait := next.Sub(o.Now()); wait > 0 && o.Sleep(ctx, wait) != nil {
			return
		}
		select {
		case due <- next:
		case <-ctx.Done():
			return
		}
	}
}

// writer sends one transaction after the other.
func (o Inside) writer(ctx context.Context, s *store.Store, n int, due <-chan time.Time) (times []time.Duration, err error) {
	row := json.RawMessage(fmt.Sprintf(`{"v":%q}`, strings.Repeat("x", max(0, o.Bytes-len(`{"v":""}`)))))
	t := store.Transaction{Statements: make([]store.Statement, o.Statements)}
	for i := range t.Statements {
		t.Statements[i] = store.Statement{Op: store.OpPut, Table: o.Table, Row: row}
	}
	times = make([]time.Duration, 0, 1<<12)
	for at := n; ; at += o.Writers * o.Statements {
		for i := range t.Statements {
			t.Statements[i].Key = fmt.Sprintf("k%08d", (at+i*o.Writers)%o.Keys)
		}
		since := o.Now()
		if due != nil {
			select {
			case since = <-due:
			case <-ctx.Done():
				return times, nil
			}
		}
		if ctx.Err() != nil {
			return times, nil
		}
		if _, err := s.Transact(context.WithoutCancel(ctx), t); err != nil {
			return times, err
		}
		times = append(times, o.Now().Sub(since))
	}
}
