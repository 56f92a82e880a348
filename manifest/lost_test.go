// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/test/contract"
)

// mischief decides what the network does to the next conditional put, and counts.
type mischief struct {
	mu    sync.Mutex
	rand  *rand.Rand
	count map[objstoretest.Fault]int
	all   atomic.Int64
}

func (m *mischief) fault(r *http.Request) objstoretest.Fault {
	if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/"+manifest.Prefix) {
		return objstoretest.None
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := objstoretest.None
	switch p := m.rand.IntN(100); {
	case p < 30:
		f = objstoretest.LoseAnswer
	case p < 40:
		f = objstoretest.LoseRequest
	case p < 50:
		f = objstoretest.Conflict
	case p < 55:
		f = objstoretest.SlowDown
	case p < 65:
		f = objstoretest.Twice
	}
	if f != objstoretest.None {
		m.all.Add(1)
	}
	m.count[f]++
	return f
}

// TestEveryPublicationIsToldTheTruth is on a real S3 server, behind a network
// that loses answers after the server has applied the request, loses requests,
// answers 409 and 503, and sends requests twice. Sixteen publishers race, as
// sixteen processes and as one. Whoever is told a version is in that one, and in
// no other; whoever is told that it lost is in none.
func TestEveryPublicationIsToldTheTruth(t *testing.T) {
	contract.Row(t, 125)
	cases := contract.Scale(t, "puts that went wrong on a real S3 server", 400, 30_000)
	server := objstoretest.StartVersitygw(t)
	const most = 1500 // in one root: nobody trims it, and each publication copies what is remembered
	for _, processes := range []int{16, 1} {
		for from := 0; from < cases/2; from += most {
			t.Run(fmt.Sprintf("16 publishers in %d processes, from %d", processes, from), func(t *testing.T) {
				truth(t, server, processes, min(most, cases/2-from), uint64(from))
			})
		}
	}
}

func truth(t *testing.T, server *objstoretest.Server, processes, cases int, seed uint64) {
	proxy := objstoretest.StartProxy(t, server)
	name := server.NewBucket(t)
	direct, err := s3.Open(t.Context(), server.Options(name))
	must(t, err)
	var ids atomic.Int64
	id := func() string { return fmt.Sprintf("ID%09d", ids.Add(1)) }
	_, err = manifest.CreateIdentity(t.Context(), direct, "uid-1", "A", nil)
	must(t, err)
	// The same faults for the same order of requests.
	m := &mischief{rand: rand.New(rand.NewPCG(seed, uint64(cases))), count: map[objstoretest.Fault]int{}}

	var stores []*manifest.Store
	var authors []manifest.Publisher
	var taken []*counting
	for p := range processes {
		b, err := s3.Open(t.Context(), proxy.Options(name))
		must(t, err)
		taken = append(taken, &counting{Bucket: b})
		s, err := manifest.Open(t.Context(), taken[p], manifest.Options{NewID: id, Rebase: 10_000})
		must(t, err)
		w := manifest.WriterID(fmt.Sprintf("w%d", p))
		e, err := s.Register(t.Context(), w, manifest.ProcessID(id()), manifest.Epoch{})
		must(t, err)
		stores, authors = append(stores, s), append(authors, manifest.Publisher{Role: manifest.RoleWriter, Process: e.Process, Writer: w, Epoch: e})
	}
	proxy.Inject(m.fault)
	var mu sync.Mutex
	results := map[string]told{}
	var all sync.WaitGroup
	for k := range 16 {
		s, by := stores[k%processes], authors[k%processes]
		all.Go(func() {
			for n := 0; int(m.all.Load()) < cases; n++ {
				table, op := fmt.Sprintf("t%d", k), fmt.Sprintf("OP-%d-%d", k, n)
				if n%4 == 3 { // one that rivals move too
					table = "common"
				}
				pub, err := s.Publish(t.Context(), move(s.View(), by, op, table))
				pub.State = nil // thousands of them are gigabytes
				mu.Lock()
				results[op] = told{op, pub, err}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	proxy.Inject(nil)

	in := map[string]manifest.Version{}
	s, err := manifest.Open(t.Context(), direct, manifest.Options{NewID: id})
	must(t, err)
	for v := manifest.Version(1); v <= s.View().Version; v++ {
		b, err := s.Batch(t.Context(), v)
		must(t, err)
		for _, e := range b.Entries {
			if e.Operation == "" {
				continue
			}
			if first := in[string(e.Operation)]; first != 0 {
				t.Errorf("%s is published in %d and in %d", e.Operation, first, v)
			}
			in[string(e.Operation)] = v
		}
	}
	published, mismatched, unknown := 0, 0, 0
	for op, r := range results {
		v := in[op]
		delete(in, op)
		switch {
		case r.err == nil && r.pub.Version == v:
			published++
		case manifest.IsMismatch(r.err) && v == 0:
			mismatched++
		case errors.Is(r.err, manifest.ErrUnknown):
			unknown++ // an honest word, when nothing got through for 15 seconds
		default:
			t.Errorf("%s is in %d, and was told %d, %v", op, v, r.pub.Version, r.err)
		}
	}
	for op, v := range in {
		t.Errorf("%s is in %d, and nobody asked for it", op, v)
	}
	lost := 0
	for _, c := range taken {
		lost += int(c.taken.Load())
	}
	if published == 0 || mismatched == 0 || unknown*100 > len(results) {
		t.Errorf("published %d, mismatched %d, unknown %d", published, mismatched, unknown)
	}
	for _, f := range []objstoretest.Fault{objstoretest.LoseAnswer, objstoretest.LoseRequest, objstoretest.Conflict, objstoretest.SlowDown, objstoretest.Twice} {
		if m.count[f] == 0 {
			t.Errorf("no put suffered: %s", f)
		}
	}
	t.Logf("%d publications in %d objects, %d lost their table, %d unknown; puts: %v, %d answered 412", published, s.View().Version, mismatched, unknown, m.count, lost)
}

var _ objstore.Bucket = (*counting)(nil)
