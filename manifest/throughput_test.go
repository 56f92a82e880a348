// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// crowded is what n publishers of one process came to.
type crowded struct {
	rate      float64 // publications/s
	conflicts float64 // share of the puts
	fairness  float64 // Jain's index
	attempts  int     // the most of any publication
}

// crowdOf has n publishers of one process publish for ten seconds, each its own
// table, on a bucket that takes 60 ms for a conditional put. The seconds are virtual
// ones: the figures do not depend on the machine.
func crowdOf(t *testing.T, n int) (c crowded) {
	synctest.Test(t, func(t *testing.T) {
		ids := 0
		var mu sync.Mutex
		id := func() string {
			mu.Lock()
			defer mu.Unlock()
			ids++
			return fmt.Sprintf("ID%09d", ids)
		}
		b := &counting{Bucket: slow{mem.New(mem.Options{}), 60 * time.Millisecond}}
		_, err := manifest.CreateIdentity(t.Context(), b, "uid-1", "A", nil)
		must(t, err)
		s, err := manifest.Open(t.Context(), b, manifest.Options{NewID: id})
		must(t, err)
		e, err := s.Register(t.Context(), "w", "P", manifest.Epoch{})
		must(t, err)
		by := manifest.Publisher{Role: manifest.RoleWriter, Process: "P", Writer: "w", Epoch: e}
		b.puts.Store(0)
		done, most := make([]int, n), make([]int, n)
		began := time.Now()
		var all sync.WaitGroup
		for k := range n {
			all.Go(func() {
				for time.Since(began) < 10*time.Second {
					op, table := id(), fmt.Sprintf("t%d", k)
					pub, err := s.Publish(t.Context(), move(s.View(), by, op, table))
					if err != nil || pub.State.Ref(manifest.TableID(table)).Operation != manifest.OperationID(op) {
						t.Errorf("%s of publisher %d: %v", op, k, err)
						return
					}
					done[k], most[k] = done[k]+1, max(most[k], pub.Attempts)
				}
			})
		}
		all.Wait()
		sum, squares := 0.0, 0.0
		for _, d := range done {
			sum, squares = sum+float64(d), squares+float64(d)*float64(d)
		}
		c = crowded{
			rate:      sum / time.Since(began).Seconds(),
			conflicts: float64(b.taken.Load()) / float64(b.puts.Load()),
			fairness:  sum * sum / (float64(n) * squares),
			attempts:  slices.Max(most),
		}
	})
	return c
}

// Publishers of one process share what one of them could have alone, many times
// over: goals 18 and 19, in virtual time.
func TestSixteenPublishersBeatOne(t *testing.T) {
	contract.Row(t, 127)
	one := crowdOf(t, 1)
	if math.Abs(one.rate-1/0.060) > 1 {
		t.Fatalf("one publisher: %+v", one)
	}
	for _, n := range []int{4, 16, 64} {
		c := crowdOf(t, n)
		t.Logf("%d publishers: %.1f x one, %.1f %% conflicts, Jain %.3f, at most %d attempts", n, c.rate/one.rate, 100*c.conflicts, c.fairness, c.attempts)
		// In the worst case they split in two halves that take turns.
		if c.rate < 0.45*float64(n)*one.rate || c.conflicts > 0.10 || c.fairness < 0.95 || c.attempts > 4 {
			t.Errorf("%d publishers: %+v; one: %+v", n, c, one)
		}
	}
}
