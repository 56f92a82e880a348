// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/test/contract"
)

// far is a bucket at some distance: a conditional put takes 60 ms, a get 15 ms, each
// up to a fifth more or less.
type far struct {
	objstore.Bucket
	mu   *sync.Mutex
	rand *rand.Rand
}

func (f far) wait(ctx context.Context, d time.Duration) error {
	f.mu.Lock()
	d += time.Duration((f.rand.Float64() - 0.5) * 0.4 * float64(d))
	f.mu.Unlock()
	return objstore.Sleep(ctx, d)
}

func (f far) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if err := f.wait(ctx, 30*time.Millisecond); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, err
	}
	r, err := f.Bucket.PutIfAbsent(ctx, key, body, attempt)
	if f.wait(ctx, 30*time.Millisecond) != nil {
		return objstore.PutResult{Outcome: objstore.Unknown}, errors.New("left")
	}
	return r, err
}

func (f far) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := f.wait(ctx, 15*time.Millisecond); err != nil {
		return objstore.Object{}, err
	}
	return f.Bucket.Get(ctx, key)
}

// rivals has n processes publish for 20 seconds, each its own table. The
// seconds are virtual ones.
func rivals(t *testing.T, n int) (c crowded, p99 int) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ids, chance := 0, rand.New(rand.NewPCG(1, uint64(n)))
		id := func() string {
			mu.Lock()
			defer mu.Unlock()
			ids++
			return fmt.Sprintf("ID%09d", ids)
		}
		jitter := func() float64 {
			mu.Lock()
			defer mu.Unlock()
			return chance.Float64()
		}
		b := &counting{Bucket: far{mem.New(mem.Options{}), &mu, chance}}
		_, err := manifest.CreateIdentity(t.Context(), b, "uid-1", "A", nil)
		must(t, err)
		var publish []func(op string) (manifest.Published, error)
		for k := range n {
			s, err := manifest.Open(t.Context(), b, manifest.Options{NewID: id, Rebase: 1000, Jitter: jitter})
			must(t, err)
			by := manifest.Publisher{Role: manifest.RoleWriter, Process: manifest.ProcessID(id()), Writer: manifest.WriterID(fmt.Sprintf("w%d", k))}
			by.Epoch, err = s.Register(t.Context(), by.Writer, by.Process, manifest.Epoch{})
			must(t, err)
			publish = append(publish, func(op string) (manifest.Published, error) {
				return s.Publish(t.Context(), move(s.View(), by, op, fmt.Sprintf("t%d", k)))
			})
		}
		b.puts.Store(0)
		b.taken.Store(0)
		done := make([]int, n)
		var attempts []int
		began := time.Now()
		var all sync.WaitGroup
		for k := range n {
			all.Go(func() {
				for time.Since(began) < 20*time.Second {
					pub, err := publish[k](id())
					if err != nil {
						t.Errorf("publisher %d: %v", k, err)
						return
					}
					mu.Lock()
					done[k]++
					attempts = append(attempts, pub.Attempts)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		sum, squares := 0.0, 0.0
		for _, d := range done {
			sum, squares = sum+float64(d), squares+float64(d)*float64(d)
		}
		slices.Sort(attempts)
		c = crowded{
			rate: sum / time.Since(began).Seconds(), conflicts: float64(b.taken.Load()) / float64(b.puts.Load()),
			fairness: sum * sum / (float64(n) * squares), attempts: attempts[len(attempts)-1],
		}
		p99 = attempts[len(attempts)*99/100]
	})
	return c, p99
}

// Processes that publish all the time cannot share an object. Each must have read
// the number before its own, so a put in vain is how it learns; but all get their
// turn, within the budget, and together they are about as fast as one alone.
func TestProcessesTakeTurns(t *testing.T) {
	contract.Row(t, 79)
	one, _ := rivals(t, 1)
	for _, n := range []int{2, 4, 16} {
		c, p99 := rivals(t, n)
		t.Logf("%d processes: %.2f x one, %.0f %% conflicts, Jain %.3f, attempts p99 %d, max %d", n, c.rate/one.rate, 100*c.conflicts, c.fairness, p99, c.attempts)
		if c.rate < 0.8*one.rate || c.fairness < 0.9 || p99 > 24 {
			t.Errorf("%d processes: %+v, attempts p99 %d; one: %+v", n, c, p99, one)
		}
	}
}
