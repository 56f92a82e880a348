// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
)

// ErrLost is the cause of an answer that was lost.
var ErrLost = errors.New("the answer was lost")

// Chances are probabilities, each of 1, for every request.
type Chances struct {
	// LoseRequest: it never arrives. LoseAnswer: it takes effect, nobody hears of it.
	LoseRequest, LoseAnswer float64
	// LandLate: the answer is lost now, the request takes effect at a later step.
	LandLate float64
	// Oversleep: the clock jumps by up to Jump before the step.
	Oversleep float64
	Jump      time.Duration
	// Favour is how likely the same client goes on, so that others sleep for long.
	Favour float64
}

// World is one run.
type World struct {
	Disk *mem.Bucket

	t       *testing.T
	rng     *rand.Rand
	chances Chances

	mu     sync.Mutex
	now    time.Time
	parked []*stop
	late   []*stop // requests on their way whose clients heard nothing
	ids    int
	steps  int
	last   string
	watch  map[string]func(objstore.Object)
	// Lost counts puts by what became of them.
	Puts, Lost int
}

// stop is where a client stands.
type stop struct {
	client string
	seq    int
	what   string
	until  time.Time // of a sleeper
	put    bool
	write  bool
	do     func()       // takes effect
	answer chan verdict // what the client hears
}

type verdict struct {
	lost bool
	done bool // it took effect
}

// Run makes a world of this seed and runs body in it; it returns when every
// client that body started is done.
func Run(t *testing.T, seed uint64, chances Chances, body func(w *World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &World{t: t, rng: rand.New(rand.NewPCG(seed, 0x5a1e)), chances: chances, now: time.Unix(1_700_000_000, 0)}
		w.Disk = mem.New(mem.Options{Now: w.Now})
		body(w)
		w.schedule()
	})
}

// Watch has f called with every object below prefix at the moment of its creation.
func (w *World) Watch(prefix string, f func(objstore.Object)) {
	if w.watch == nil {
		w.watch = map[string]func(objstore.Object){}
	}
	w.watch[prefix] = f
}

// created tells the watchers.
func (w *World) created(key string, body []byte) {
	for prefix, f := range w.watch {
		if strings.HasPrefix(key, prefix) {
			f(objstore.Object{Key: key, Body: body})
		}
	}
}

// Now is the clock of clients and bucket.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// Advance moves the clock.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// NewID returns an id that nobody else has.
func (w *World) NewID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return fmt.Sprintf("ID%08d", w.ids)
}

// Chance returns a number in [0,n) of the seed's.
func (w *World) Chance(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// Sleep is Options.Sleep for a client.
func (w *World) Sleep(client string) func(context.Context, time.Duration) error {
	return func(ctx context.Context, d time.Duration) error {
		w.mu.Lock()
		until := w.now.Add(d)
		w.mu.Unlock()
		w.park(&stop{client: client, what: "sleep", until: until})
		return context.Cause(ctx)
	}
}

// park puts the caller to rest until the scheduler picks it.
func (w *World) park(s *stop) verdict {
	s.answer = make(chan verdict)
	w.mu.Lock()
	w.steps++
	s.seq = w.steps
	w.parked = append(w.parked, s)
	w.mu.Unlock()
	return <-s.answer
}

// schedule picks who goes on until nobody is left.
func (w *World) schedule() {
	for {
		synctest.Wait()
		w.mu.Lock()
		if len(w.parked) == 0 {
			w.mu.Unlock()
			return
		}
		s := w.pick()
		v := w.fate(s)
		w.mu.Unlock()
		if v.done && s.do != nil {
			s.do()
		}
		s.answer <- v
	}
}

// pick takes one of the parked out, in an order that only the seed decides.
func (w *World) pick() *stop {
	slices.SortFunc(w.parked, func(a, b *stop) int {
		if c := strings.Compare(a.client, b.client); c != 0 {
			return c
		}
		return a.seq - b.seq
	})
	i := w.rng.IntN(len(w.parked))
	if w.rng.Float64() < w.chances.Favour {
		for k, s := range w.parked {
			if s.client == w.last {
				i = k
			}
		}
	}
	s := w.parked[i]
	w.parked = slices.Delete(w.parked, i, i+1)
	w.last = s.client
	if w.rng.Float64() < w.chances.Oversleep {
		w.now = w.now.Add(time.Duration(w.rng.Int64N(int64(w.chances.Jump) + 1)))
	}
	w.now = w.now.Add(time.Millisecond)
	if s.until.After(w.now) {
		w.now = s.until
	}
	return s
}

// fate decides what becomes of a request, and lands one that was late.
func (w *World) fate(s *stop) verdict {
	if len(w.late) > 0 && w.rng.IntN(8) == 0 {
		i := w.rng.IntN(len(w.late))
		l := w.late[i]
		w.late = slices.Delete(w.late, i, i+1)
		w.mu.Unlock()
		l.do()
		w.mu.Lock()
	}
	if s.put {
		w.Puts++
	}
	p := w.rng.Float64()
	c := w.chances
	switch {
	case s.do == nil: // a sleeper
		return verdict{done: true}
	case p < c.LoseRequest:
		w.count(s)
		return verdict{lost: true}
	case p < c.LoseRequest+c.LoseAnswer:
		w.count(s)
		return verdict{lost: true, done: true}
	case s.write && p < c.LoseRequest+c.LoseAnswer+c.LandLate:
		w.count(s)
		w.late = append(w.late, s)
		return verdict{lost: true}
	default:
		return verdict{done: true}
	}
}

func (w *World) count(s *stop) {
	if s.put {
		w.Lost++
	}
}
