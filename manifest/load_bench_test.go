// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/mem"
)

// BenchmarkLoad opens a store of n tables, from its checkpoint, and says what the
// state keeps in memory. The yardstick is to parse the same bytes as plain JSON.
//
//	go test -run '^$' -bench Load -benchtime 20x ./manifest
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{10, 10_000, 100_000} {
		b.Run(fmt.Sprintf("%d tables", n), func(b *testing.B) { load(b, n) })
	}
}

func load(b *testing.B, n int) {
	disk := mem.New(mem.Options{})
	ids := 0
	opt := manifest.Options{NewID: func() string { ids++; return fmt.Sprintf("01JD%022d", ids) }, CheckpointEvery: 32}
	_, err := manifest.CreateIdentity(b.Context(), disk, "uid-1", "A", nil)
	must(b, err)
	s, err := manifest.Open(b.Context(), disk, opt)
	must(b, err)
	e, err := s.Register(b.Context(), "w", "P", manifest.Epoch{})
	must(b, err)
	by := manifest.Publisher{Role: manifest.RoleWriter, Process: "P", Writer: "w", Epoch: e}
	for i := 0; s.View().Version < 32; i++ {
		var names []string
		for k := 0; k < 10_000 && len(s.View().Tables)+len(names) < n; k++ {
			names = append(names, fmt.Sprintf("customers-%07d", i*10_000+k))
		}
		if len(names) == 0 {
			names = []string{"customers-0000000"}
		}
		p := move(s.View(), by, opt.NewID(), names...)
		for k := range p.Entries[0].Tables {
			p.Entries[0].Tables[k].To.Digest = "sha256:" + strings.Repeat("d", 64)
		}
		_, err := s.Publish(b.Context(), p)
		must(b, err)
	}
	raw, err := manifest.EncodeCheckpoint(s.View())
	must(b, err)
	_, body, err := envelope.ParseHeader(raw)
	must(b, err)
	s = nil
	var parse, open time.Duration
	var kept uint64
	for b.Loop() {
		began := time.Now()
		var plain any
		must(b, json.Unmarshal(raw[body:], &plain))
		parse += time.Since(began)
		plain = nil

		before := heap()
		began = time.Now()
		s, err := manifest.Open(b.Context(), disk, opt)
		must(b, err)
		open += time.Since(began)
		kept = heap() - before
		if len(s.View().Tables) != max(n, 1) {
			b.Fatalf("%d tables", len(s.View().Tables))
		}
		runtime.KeepAlive(s)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(open.Milliseconds())/float64(b.N), "ms/open")
	b.ReportMetric(open.Seconds()/parse.Seconds(), "x-plain-parse")
	b.ReportMetric(float64(kept)/1024, "KiB-kept")
	b.ReportMetric(float64(kept)/float64(n), "B-kept/table")
	b.ReportMetric(float64(len(raw))/float64(n), "B-stored/table")
}

// heap is what is in use after a collection, in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
