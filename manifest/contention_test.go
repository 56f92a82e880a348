// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
)

// BenchmarkContention is goals 18 and 19: publishers of one table each, in a
// closed loop. "one" is the yardstick; "naive" is the loop that reads the newest
// version, puts the next and tries again, a process each; "processes" is the same
// with salvor's pauses and without the first look; "shared" is one process whose
// publications share objects. Windows of the cells are interleaved; the figures are
// medians.
//
//	go test -run '^$' -bench Contention -benchtime 5x ./manifest
func BenchmarkContention(b *testing.B) {
	backends := map[string]func(*testing.B) objstore.Bucket{
		"file": func(b *testing.B) objstore.Bucket {
			bucket, err := file.Open(b.TempDir(), file.Options{})
			must(b, err)
			return bucket
		},
		"memory": func(*testing.B) objstore.Bucket { return mem.New(mem.Options{}) },
		"s3": func(b *testing.B) objstore.Bucket {
			server := objstoretest.StartVersitygw(b)
			bucket, err := s3.Open(b.Context(), server.Options(server.NewBucket(b)))
			must(b, err)
			return bucket
		},
		"s3+60ms": func(b *testing.B) objstore.Bucket {
			server := objstoretest.StartVersitygw(b)
			bucket, err := s3.Open(b.Context(), server.Options(server.NewBucket(b)))
			must(b, err)
			return slow{bucket, 60 * time.Millisecond}
		},
	}
	for _, name := range []string{"memory", "file", "s3", "s3+60ms"} {
		b.Run(name, func(b *testing.B) { contend(b, backends[name]) })
	}
}

// slow answers every conditional put late.
type slow struct {
	objstore.Bucket
	by time.Duration
}

func (s slow) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if err := objstore.Sleep(ctx, s.by); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, err
	}
	return s.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

// counting counts the conditional puts that found the number taken.
type counting struct {
	objstore.Bucket
	puts, taken atomic.Int64
}

func (c *counting) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	r, err := c.Bucket.PutIfAbsent(ctx, key, body, attempt)
	c.puts.Add(1)
	if r.Outcome == objstore.Exists {
		c.taken.Add(1)
	}
	return r, err
}

// cell is one way of contending.
type cell struct {
	name                  string
	processes, publishers int
	naive                 bool

	rates     []float64 // publications/s, a window each
	conflicts []float64 // share of the puts
	objects   []float64 // objects/s
	attempts  []int     // of every publication
	fairness  []float64 // Jain's index over the publishers' counts
	deferred  int
}

const window = 2 * time.Second

func contend(b *testing.B, open func(*testing.B) objstore.Bucket) {
	cells := []*cell{
		{name: "one", processes: 1, publishers: 1},
		{name: "naive 4", processes: 4, publishers: 1, naive: true},
		{name: "naive 16", processes: 16, publishers: 1, naive: true},
		{name: "processes 4", processes: 4, publishers: 1},
		{name: "processes 16", processes: 16, publishers: 1},
		{name: "processes 64", processes: 64, publishers: 1},
		{name: "shared 4", processes: 1, publishers: 4},
		{name: "shared 16", processes: 1, publishers: 16},
		{name: "shared 64", processes: 1, publishers: 64},
		{name: "4 processes of 16", processes: 4, publishers: 16},
	}
	bucket := open(b)
	runs := 0
	for b.Loop() { // each iteration is one window of every cell
		for _, c := range cells {
			runs++
			c.run(b, objstore.Prefix(bucket, fmt.Sprintf("run-%d", runs)))
		}
	}
	b.ReportMetric(0, "ns/op")
	one := cells[0]
	// Not by b.Log, which cuts after ten lines.
	fmt.Printf("\n%s\n%-18s %10s %8s %10s %9s %8s %8s %6s %9s\n", b.Name(), "", "commits/s", "of one", "objects/s", "conflicts", "att p99", "att max", "Jain", "deferred")
	for _, c := range cells {
		slices.Sort(c.attempts)
		fmt.Printf("%-18s %10.0f %8.2f %10.0f %8.1f%% %8d %8d %6.3f %9d\n", c.name, median(c.rates), median(c.rates)/median(one.rates), median(c.objects),
			100*median(c.conflicts), c.attempts[len(c.attempts)*99/100], c.attempts[len(c.attempts)-1], median(c.fairness), c.deferred)
	}
	judged(os.Stdout, cells)
}

func (c *cell) run(b *testing.B, bucket objstore.Bucket) {
	counted := &counting{Bucket: bucket}
	var ids atomic.Int64
	id := func() string { return fmt.Sprintf("ID%09d", ids.Add(1)) }
	_, err := manifest.CreateIdentity(b.Context(), counted, "uid-1", "A", nil)
	must(b, err)
	var random sync.Mutex
	chance := rand.New(rand.NewPCG(1, 2))
	jitter := func() float64 {
		random.Lock()
		defer random.Unlock()
		return chance.Float64()
	}
	var all []func(until time.Time) (int, []int, int)
	for p := range c.processes {
		s, err := manifest.Open(b.Context(), counted, manifest.Options{NewID: id, Rebase: 1000, Jitter: jitter})
		must(b, err)
		writer := manifest.WriterID(fmt.Sprintf("w%d", p))
		epoch, err := s.Register(b.Context(), writer, manifest.ProcessID(id()), manifest.Epoch{})
		must(b, err)
		by := manifest.Publisher{Role: manifest.RoleWriter, Process: epoch.Process, Writer: writer, Epoch: epoch}
		for k := range c.publishers {
			table := fmt.Sprintf("t%d-%d", p, k)
			all = append(all, func(until time.Time) (done int, attempts []int, deferred int) {
				for time.Now().Before(until) {
					publish := s.Publish
					if c.naive {
						publish = naive{s, counted, id}.Publish
					}
					pub, err := publish(b.Context(), move(s.View(), by, id(), table))
					if errors.Is(err, manifest.ErrContention) {
						deferred++
						continue
					}
					if err != nil {
						b.Error(err)
						return
					}
					done, attempts = done+1, append(attempts, pub.Attempts)
				}
				return done, attempts, deferred
			})
		}
	}
	counted.puts.Store(0)
	counted.taken.Store(0)
	var mu sync.Mutex
	var wg sync.WaitGroup
	sum, squares := 0.0, 0.0
	began := time.Now()
	for _, publish := range all {
		wg.Go(func() {
			done, attempts, deferred := publish(began.Add(window))
			mu.Lock()
			defer mu.Unlock()
			sum, squares = sum+float64(done), squares+float64(done)*float64(done)
			c.attempts, c.deferred = append(c.attempts, attempts...), c.deferred+deferred
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	puts, taken := float64(counted.puts.Load()), float64(counted.taken.Load())
	c.rates, c.objects = append(c.rates, sum/took), append(c.objects, (puts-taken)/took)
	c.conflicts = append(c.conflicts, taken/max(puts, 1))
	c.fairness = append(c.fairness, sum*sum/(float64(len(all))*max(squares, 1)))
}

// naive is the loop that most would write: read the newest version, put the next
// one if it is absent, and begin again if it is not.
type naive struct {
	s      *manifest.Store
	bucket objstore.Bucket
	id     func() string
}

func (n naive) Publish(ctx context.Context, p manifest.Publication) (manifest.Published, error) {
	for try := 1; ; try++ {
		st, err := n.s.Latest(ctx)
		if err != nil {
			return manifest.Published{}, err
		}
		b := &manifest.Batch{Store: st.Store, Number: st.Version + 1, Parent: st.Digest, Attempt: n.id(), By: p.By, Head: st.Head, Entries: p.Entries}
		raw, _, err := manifest.EncodeBatch(b)
		if err != nil {
			return manifest.Published{}, err
		}
		switch r, err := n.bucket.PutIfAbsent(ctx, manifest.Key(b.Number), raw, b.Attempt); {
		case r.Outcome == objstore.Created:
			return manifest.Published{Version: b.Number, Batch: b, Attempts: try}, nil
		case r.Outcome != objstore.Exists:
			return manifest.Published{}, err
		}
	}
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}
