// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/salvor-io/salvor/objstore"
)

const (
	racers = 32
	rounds = 40
)

// race lets 32 writers, each with bytes of its own, go for one key at once.
func race(t *testing.T, b objstore.Bucket) {
	for round := range rounds {
		if t.Failed() {
			return
		}
		// Every other round with a body that takes a while to write.
		Race(t, func(int) objstore.Bucket { return b }, fmt.Sprintf("manifest/%020d", round), round%2*64<<10)
	}
}

// Race lets 32 writers create key at once, each through the bucket that from
// gives it, with bytes of its own and pad bytes more. It fails the test unless
// exactly one is Created, all others Exist, and the bytes are the winner's.
func Race(t *testing.T, from func(writer int) objstore.Bucket, key string, pad int) {
	t.Helper()
	results := make([]objstore.PutResult, racers)
	errs := make([]error, racers)
	inParallel(racers, racers, func(i int) {
		body := fmt.Sprintf("writer %d %s", i, strings.Repeat("x", pad))
		for {
			results[i], errs[i] = from(i).PutIfAbsent(t.Context(), key, []byte(body), fmt.Sprintf("writer-%d", i))
			if results[i].Outcome != objstore.Retry || t.Context().Err() != nil {
				return
			}
		}
	})
	winner := -1
	for i, r := range results {
		switch {
		case r.Outcome == objstore.Exists && errs[i] == nil:
		case r.Outcome == objstore.Created && errs[i] == nil && winner < 0:
			winner = i
		default:
			t.Errorf("%s: writer %d: %v, %v; writer %d was Created before", key, i, r.Outcome, errs[i], winner)
		}
	}
	if winner < 0 {
		t.Fatalf("%s: nobody was Created", key)
	}
	mustHave(t, from(0), key, fmt.Sprintf("writer %d %s", winner, strings.Repeat("x", pad)))
}

func crowd(t *testing.T, b objstore.Bucket) {
	keys := make([]string, racers)
	for i := range keys {
		// New directories, some of them shared: they are made in a race, too.
		keys[i] = fmt.Sprintf("tables/t%d/d%d/%020d", i%4, i%8, i)
	}
	inParallel(racers, racers, func(i int) {
		r, err := b.PutIfAbsent(t.Context(), keys[i], []byte(keys[i]), "a")
		if r.Outcome != objstore.Created || err != nil {
			t.Errorf("put %s: %v, %v", keys[i], r.Outcome, err)
			return
		}
		if o, err := b.Get(t.Context(), keys[i]); err != nil || string(o.Body) != keys[i] {
			t.Errorf("get %s: %q, %v", keys[i], o.Body, err)
		}
	})
	slices.Sort(keys)
	mustList(t, b, "tables/", "", keys...)
}

// revolvingDoor creates and deletes in a directory that is empty again and again:
// a store on a file system that tidies up must not take it from under a writer.
// It may say Retry, as often as it likes, but then nothing has landed.
func revolvingDoor(t *testing.T, b objstore.Bucket) {
	inParallel(8, 8*25, func(i int) {
		key := fmt.Sprintf("recovery/deep/%03d", i)
		r, err := b.PutIfAbsent(t.Context(), key, []byte(key), "a")
		for r.Outcome == objstore.Retry && t.Context().Err() == nil {
			r, err = b.PutIfAbsent(t.Context(), key, []byte(key), "a")
		}
		if r.Outcome != objstore.Created || err != nil {
			t.Errorf("put %s: %v, %v", key, r.Outcome, err)
			return
		}
		if o, err := b.Get(t.Context(), key); err != nil || string(o.Body) != key {
			t.Errorf("get %s: %q, %v", key, o.Body, err)
		}
		if err := b.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
	})
	mustList(t, b, "", "")
}

// listConcurrent lists while other keys are created and deleted around the ones
// that stay. Those are listed every time, in order and once.
func listConcurrent(t *testing.T, b objstore.Bucket) {
	var stay []string
	for i := range 20 {
		stay = append(stay, fmt.Sprintf("k/%02d-stays", i))
		mustCreate(t, b, stay[i], "x")
	}
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for w := range 4 {
		busy.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("k/%02d-w%d-passes", i%20, w)
				if r, err := b.PutIfAbsent(t.Context(), key, nil, "a"); r.Outcome != objstore.Created {
					t.Errorf("put %s: %v, %v", key, r.Outcome, err)
					return
				}
				if err := b.Delete(t.Context(), key); err != nil {
					t.Errorf("delete %s: %v", key, err)
					return
				}
			}
		})
	}
	for range 20 {
		var all, stayed []string
		for e, err := range b.List(t.Context(), "k/", "") {
			if err != nil {
				t.Errorf("list: %v", err)
				break
			}
			all = append(all, e.Key)
			if strings.HasSuffix(e.Key, "-stays") {
				stayed = append(stayed, e.Key)
			}
		}
		if !slices.Equal(stayed, stay) || !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Errorf("listed %q", all)
			break
		}
	}
	close(stop)
	busy.Wait()
	mustList(t, b, "k/", "", stay...)
}

// inParallel calls f with 0 to n-1 from so many goroutines, which begin together.
func inParallel(workers, n int, f func(int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	for range workers {
		wg.Go(func() {
			<-begin
			for i := range work {
				f(i)
			}
		})
	}
	close(begin)
	wg.Wait()
}
