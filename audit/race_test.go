// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// Sixteen recoverers over one bucket, every operation recorded by two of them at
// once through different logs: no fork, no hole, each operation exactly once, and
// exactly one of the two wrote it.
func TestRacingAppends(t *testing.T) {
	contract.Row(t, 2, 99)
	for _, tt := range []struct{ logs, appends int }{
		{2, 10_000},
		{16, 640}, // every put contested
	} {
		t.Run(fmt.Sprintf("%d logs", tt.logs), func(t *testing.T) {
			const racers = 16
			b := mem.New(mem.Options{})
			logs := make([]*Log, tt.logs)
			for i := range logs {
				logs[i] = process(t, b, fmt.Sprint("p", i), ring(t, "k1"))
			}
			const round = 200 // operations that were decided while the chain had one head
			operations := tt.appends / 2
			var mu sync.Mutex
			written := map[string]int{}
			for first := 0; first < operations; first += round {
				since, err := process(t, b, "publisher", ring(t, "k1")).Head(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var racing sync.WaitGroup
				for g := range racers {
					racing.Go(func() {
						// racers g and g+8 record the same operations, through different logs
						for op := first + g%8; op < min(first+round, operations); op += 8 {
							name := fmt.Sprint("op", op)
							a, err := logs[(g+g/8)%tt.logs].AppendOnce(t.Context(), forward(name), since)
							if err != nil {
								t.Errorf("append %s: %v", name, err)
								return
							}
							if !a.Already {
								mu.Lock()
								written[name]++
								mu.Unlock()
							}
						}
					})
				}
				racing.Wait()
			}
			rep := mustBeGood(t, b)
			if rep.Rows != uint64(operations) || rep.Objects > uint64(operations) || rep.Head.Number != uint64(rep.Objects) {
				t.Errorf("%d rows in %d objects up to %d, want %d rows", rep.Rows, rep.Objects, rep.Head.Number, operations)
			}
			for op := range operations {
				if name := fmt.Sprint("op", op); written[name] != 1 {
					t.Errorf("%s was written by %d racers", name, written[name])
				}
			}
		})
	}
}

// Two recoverers that believe in different ends: one row, and the other is told.
func TestRacingContradiction(t *testing.T) {
	b := mem.New(mem.Options{})
	logs := []*Log{process(t, b, "p", ring(t, "k1")), process(t, b, "q", ring(t, "k1"))}
	for i := range 200 {
		op := fmt.Sprint("op", i)
		rows := []Row{forward(op), back(op)}
		errs := make([]error, 2)
		var racing sync.WaitGroup
		for j := range rows {
			racing.Go(func() { _, errs[j] = logs[j].AppendOnce(t.Context(), rows[j], Head{}) })
		}
		racing.Wait()
		var conflict *ConflictError
		if (errs[0] == nil) == (errs[1] == nil) || !errors.As(errors.Join(errs...), &conflict) {
			t.Fatalf("%s: %v and %v", op, errs[0], errs[1])
		}
	}
	if rep := mustBeGood(t, b); rep.Rows != 200 {
		t.Errorf("%d rows", rep.Rows)
	}
}
