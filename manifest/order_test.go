// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/test/contract"
)

// aged is a root whose publications are old enough to go, all but the newest.
func aged(t *testing.T, n int) (*root, *manifest.Store, manifest.Publisher) {
	t.Helper()
	r := newRoot(t)
	s := r.open(r.disk)
	by := r.writer(s, "w")
	r.history(s, by, "t", n)
	r.age(2 * manifest.MinAge)
	return r, s, by
}

// interleaved runs a collection of r once for every way to put the steps of
// another actor between its requests, in their order: steps[0] before request
// at[0], steps[1] before request at[1] >= at[0], and so on. Each run has a copy of
// the root. The listing of unfinished operations counts as a request.
func interleaved(t *testing.T, r *root, stride int, actor func(*root) (steps []func(), pending func() []manifest.Pending, check func(at []int))) (runs int) {
	t.Helper()
	disk := r.disk
	defer func() { r.disk = disk }()
	// collect runs one, and returns how many requests and steps there were. Without
	// at the steps come after it.
	collect := func(at []int) (requests, all int) {
		r.disk = disk.Clone()
		steps, pending, check := actor(r)
		next := 0
		before := func() {
			for ; next < len(at) && at[next] <= requests; next++ {
				steps[next]()
			}
			requests++
		}
		b := fault.Wrap(r.disk)
		c := r.open(b)
		b.OnCall(func(fault.Call) { before() })
		opt := collectOptions(4)
		opt.Pending = func(context.Context) ([]manifest.Pending, error) { before(); return pending(), nil }
		if _, err := c.Collect(t.Context(), opt); err != nil {
			t.Fatalf("%v: %v", at, err)
		}
		for ; next < len(steps); next++ {
			steps[next]()
		}
		check(at)
		return requests, len(steps)
	}
	requests, steps := collect(nil)
	at := make([]int, steps)
	for i := 0; ; i++ {
		if i%stride == 0 || steps > 0 && at[steps-1] == at[0] { // all at once is the sharpest
			collect(at)
			runs++
		}
		k := len(at) - 1
		for k >= 0 && at[k] == requests {
			k--
		}
		if k < 0 {
			return runs
		}
		at[k]++
		for j := k + 1; j < len(at); j++ {
			at[j] = at[k]
		}
	}
}

// An operation arms, makes its effect, publishes and disarms while a collector
// works: wherever its steps fall, nothing that it needs is taken.
func TestNoInterleavingCostsAnOperationItsEffect(t *testing.T) {
	contract.Row(t, 129)
	stride := 100 / contract.Scale(t, "percent of the schedules", 8, 100)
	r, _, by := aged(t, 9)
	runs := interleaved(t, r, stride, func(r *root) ([]func(), func() []manifest.Pending, func([]int)) {
		s := r.open(r.disk)
		var pending []manifest.Pending
		p := move(s.View(), by, "OP", "t")
		ref := p.Entries[0].Tables[0].To.Ref
		steps := []func(){
			func() { pending = []manifest.Pending{{Operation: "OP", Base: s.View().Version}} },
			func() { r.effect("t", ref.Number, "OP") },
			func() { _, err := s.Publish(t.Context(), p); must(t, err) },
			func() { pending = nil },
		}
		check := func(at []int) {
			if st := r.open(r.disk).View(); st.Ref("t") != ref {
				t.Fatalf("%v: a cold reader is at %s", at, st.Ref("t"))
			}
			if _, err := r.disk.Get(t.Context(), manifest.TableKey("t", ref.Number, "OP")); err != nil {
				t.Fatalf("arm, effect, publish, disarm before the collector's requests %v: the effect is gone: %v", at, err)
			}
		}
		return steps, func() []manifest.Pending { return pending }, check
	})
	contract.Count(t, "schedules", runs)
}

// A reader pins the version that it knows, then looks at the boundary, while a
// collector works: wherever these fall, what it is told to hold is there.
func TestNoInterleavingCostsAReaderItsVersion(t *testing.T) {
	contract.Row(t, 129)
	stride := 100 / contract.Scale(t, "percent of the schedules", 8, 100)
	r, s, by := aged(t, 12)
	early := r.disk.Clone()
	r.history(s, by, "t", 12)
	r.age(2 * manifest.MinAge)
	runs := interleaved(t, r, stride, func(r *root) ([]func(), func() []manifest.Pending, func([]int)) {
		snap := make(chan *manifest.Snapshot, 1)
		reader := pace(r, early, func(s *manifest.Store) {
			got, err := s.Snapshot(t.Context(), 24*time.Hour, "slow")
			if err != nil {
				t.Error(err)
			}
			snap <- got
		})
		check := func(at []int) {
			got := <-snap
			if got == nil {
				t.FailNow()
			}
			r.collect(r.open(r.disk), 4) // and for as long as it is held
			pin := got.State.Tables["t"]
			if _, err := r.disk.Get(t.Context(), manifest.TableKey("t", pin.Number, pin.Operation)); err != nil {
				t.Fatalf("pin and look before the collector's requests %v: the reader holds version %d: %v", at, got.State.Version, err)
			}
		}
		return []func(){reader.one, reader.rest}, func() []manifest.Pending { return nil }, check
	})
	contract.Count(t, "schedules", runs)
}

// paced is a client whose requests wait until they are let through.
type paced struct{ turn, waits, done chan struct{} }

// pace runs f with a store that was opened early, and has read nothing since when
// it comes to its first write. That is the first request that waits.
func pace(r *root, early objstore.Bucket, f func(*manifest.Store)) *paced {
	b := fault.Wrap(r.disk)
	s := r.open(&stale{Bucket: b, early: early})
	p := &paced{turn: make(chan struct{}), waits: make(chan struct{}), done: make(chan struct{})}
	b.OnCall(func(fault.Call) { p.waits <- struct{}{}; <-p.turn })
	go func() { defer close(p.done); f(s) }()
	<-p.waits
	r.age(manifest.MinAge) // what it read is old
	return p
}

// one lets one request through and waits for the next.
func (p *paced) one() {
	p.turn <- struct{}{}
	select {
	case <-p.waits:
	case <-p.done:
	}
}

// rest lets all of them through.
func (p *paced) rest() {
	for {
		select {
		case <-p.done:
			return
		case p.turn <- struct{}{}:
		case <-p.waits:
		}
	}
}

// stale answers reads from early until the first write.
type stale struct {
	objstore.Bucket
	early objstore.Bucket
	wrote bool
}

func (b *stale) now() objstore.Bucket {
	if b.wrote {
		return b.Bucket
	}
	return b.early
}

func (b *stale) Get(ctx context.Context, key string) (objstore.Object, error) {
	return b.now().Get(ctx, key)
}

func (b *stale) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return b.now().List(ctx, prefix, after)
}

func (b *stale) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	b.wrote = true
	return b.Bucket.PutIfAbsent(ctx, key, body, attempt)
}
