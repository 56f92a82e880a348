// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/recovery"
)

// BenchmarkHealCrowd is goal 20: a thousand operations pend in one store, a
// conditional put takes 60 ms and eight requests go at the same time. "at once" is
// how many of them are being recovered at a time; Rc is one writer's publications/s
// on the same bucket.
//
//	go test -run '^$' -bench HealCrowd -benchtime 3x ./recovery
func BenchmarkHealCrowd(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		healCrowd(b, func() objstore.Bucket { return mem.New(mem.Options{}) })
	})
	b.Run("s3", func(b *testing.B) {
		server := objstoretest.StartVersitygw(b)
		healCrowd(b, func() objstore.Bucket {
			bucket, err := s3.Open(b.Context(), server.Options(server.NewBucket(b)))
			must(b, err)
			return bucket
		})
	})
}

// narrow lets eight requests through at a time, answers conditional puts after 60
// ms, and counts.
type narrow struct {
	objstore.Bucket
	slots    chan struct{}
	requests atomic.Int64
	cas      sync.Map // directory -> *atomic.Int64
}

func newNarrow(b objstore.Bucket) *narrow {
	return &narrow{Bucket: b, slots: make(chan struct{}, 8)}
}

func (n *narrow) enter() func() {
	n.requests.Add(1)
	n.slots <- struct{}{}
	return func() { <-n.slots }
}

func (n *narrow) puts(dir string) int64 {
	c, _ := n.cas.LoadOrStore(dir, new(atomic.Int64))
	return c.(*atomic.Int64).Load()
}

func (n *narrow) Get(ctx context.Context, key string) (objstore.Object, error) {
	defer n.enter()()
	return n.Bucket.Get(ctx, key)
}

func (n *narrow) GetRange(ctx context.Context, key string, off, size int64) ([]byte, error) {
	defer n.enter()()
	return n.Bucket.GetRange(ctx, key, off, size)
}

func (n *narrow) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		defer n.enter()()
		n.Bucket.List(ctx, prefix, after)(yield)
	}
}

func (n *narrow) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	defer n.enter()()
	dir, _, _ := strings.Cut(key, "/")
	c, _ := n.cas.LoadOrStore(dir, new(atomic.Int64))
	c.(*atomic.Int64).Add(1)
	// The latency of goal 20; a request that is given up does not keep its slot for it.
	if err := objstore.Sleep(ctx, 60*time.Millisecond); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, err // nothing was sent
	}
	return n.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

func (n *narrow) Delete(ctx context.Context, key string) error {
	defer n.enter()()
	return n.Bucket.Delete(ctx, key)
}

type crowdCell struct {
	atOnce, pending int

	seconds, rc               []float64
	manifest, trail, requests int64
}

func healCrowd(b *testing.B, open func() objstore.Bucket) {
	cells := []*crowdCell{{atOnce: 1, pending: 20}, {atOnce: 8, pending: 1000}, {atOnce: 64, pending: 1000}, {atOnce: 256, pending: 1000}, {atOnce: 1000, pending: 1000}}
	for b.Loop() {
		for _, c := range cells {
			c.run(b, open())
		}
	}
	b.ReportMetric(0, "ns/op")
	b.Logf("%8s %8s %9s %13s %13s %12s %14s", "pending", "at once", "seconds", "CAS manifest", "CAS trail", "requests/op", "published/s/Rc")
	for _, c := range cells {
		s := middle(c.seconds)
		b.Logf("%8d %8d %9.2f %13d %13d %12.2f %14.1f", c.pending, c.atOnce, s, c.manifest, c.trail, float64(c.requests)/float64(c.pending), float64(c.pending)/s/middle(c.rc))
	}
}

func middle(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

func (c *crowdCell) run(b *testing.B, disk objstore.Bucket) {
	var ids atomic.Int64
	id := func() string { return fmt.Sprintf("ID%09d", ids.Add(1)) }
	_, err := manifest.CreateIdentity(b.Context(), disk, "uid-1", "A", nil)
	must(b, err)
	fast, err := manifest.Open(b.Context(), disk, manifest.Options{NewID: id})
	must(b, err)
	epoch, err := fast.Register(b.Context(), "w", "P", manifest.Epoch{})
	must(b, err)
	var keys []string
	for i := range c.pending {
		keys = append(keys, leave(b, disk, id, epoch, fmt.Sprintf("table-%04d", i)))
	}
	bucket := newNarrow(disk)
	m, err := manifest.Open(b.Context(), bucket, manifest.Options{NewID: id})
	must(b, err)
	ring, err := audit.NewKeyring(testKeys)
	must(b, err)
	trail, err := audit.Open(bucket, "main", ring, audit.Options{Recoverer: "bench"})
	must(b, err)
	rec := recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: "R"})

	began := time.Now() // the yardstick
	for range 10 {
		_, err := m.Publish(b.Context(), manifest.Publication{By: manifest.Publisher{Role: manifest.RoleOperator, Process: "R"}, Entries: []manifest.Entry{{Kind: manifest.KindAnchor}}})
		must(b, err)
	}
	c.rc = append(c.rc, 10/time.Since(began).Seconds())

	requests, cas, rows := bucket.requests.Load(), bucket.puts("manifest"), bucket.puts("audit")
	began = time.Now()
	todo := make(chan string)
	var all sync.WaitGroup
	for range c.atOnce {
		all.Go(func() {
			for key := range todo {
				rep, err := rec.Recover(b.Context(), key, ended)
				if err != nil || !rep.Complete {
					b.Errorf("%s: %+v, %v", key, rep.Verdict, err)
				}
			}
		})
	}
	for _, key := range keys {
		todo <- key
	}
	close(todo)
	all.Wait()
	c.seconds = append(c.seconds, time.Since(began).Seconds())
	c.manifest, c.trail, c.requests = bucket.puts("manifest")-cas, bucket.puts("audit")-rows, bucket.requests.Load()-requests
}

// leave puts what a writer leaves that is killed before it publishes.
func leave(b *testing.B, disk objstore.Bucket, id func() string, e manifest.Epoch, table string) (key string) {
	create := func(key string, raw []byte, err error) {
		must(b, err)
		_, err = disk.PutIfAbsent(b.Context(), key, raw, "x")
		must(b, err)
	}
	s := &recovery.Sidecar{
		Store: "uid-1", Operation: manifest.OperationID(id()), Attempt: id(), Writer: "w", Epoch: e, Kind: recovery.KindCheckpoint, Base: 1,
		Started: time.Now(), Tables: []recovery.TablePlan{{Table: manifest.TableID(table), Number: 1}},
		Outcomes: recovery.OutcomeIDs{Publish: id(), Abandon: id(), RollBack: id()},
	}
	raw, err := recovery.EncodeSidecar(s)
	create(recovery.SidecarKey(s.Operation), raw, err)
	raw, err = envelope.Encode("table", 1, "content")
	create(s.Tables[0].Object(s.Operation), raw, err)
	h, _, err := envelope.ParseHeader(raw)
	must(b, err)
	raw, err = recovery.EncodeConfirmed(&recovery.Confirmed{
		Store: s.Store, Operation: s.Operation, Attempt: s.Attempt, Tables: []recovery.Reached{{Table: s.Tables[0].Table, Number: 1, Digest: h.Digest}},
	}, 1)
	create(recovery.ConfirmedKey(s.Operation), raw, err)
	return recovery.SidecarKey(s.Operation)
}
