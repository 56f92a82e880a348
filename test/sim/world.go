// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"cmp"
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
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
)

var (
	// ErrLost is the cause of an answer that was lost.
	ErrLost = errors.New("the answer was lost")
	// ErrDead is what a dead process gets from everything.
	ErrDead = errors.New("the process is dead")
)

// World is one run: a bucket, processes, and a chooser that decides who goes on.
type World struct {
	Disk *mem.Bucket
	// Puts is how many conditional puts went out, Lost how many of them lost an
	// answer, a request, or both.
	Puts, Lost int

	chooser chooser
	clock   *clock
	rng     *rand.Rand
	// patient: sleepers wait for the clock. Otherwise each process has a clock of its
	// own, which moves when it sleeps, so that what it writes depends on nothing but
	// what it did and was answered.
	patient bool

	mu     sync.Mutex
	parked []*request
	procs  map[string]*Process
	seq    int
	ids    int
	trace  Story
	watch  map[string]func(objstore.Object)
	ledger *Ledger
	// wrote, if set, is called behind every durable write that took effect.
	wrote func()
	over  bool // everybody is dead
	most  int  // requests after which everybody dies; 0: they come to their end
}

// chooser decides, at each step, who goes on.
type chooser interface {
	// next returns whose request goes on, of those that stand before the bucket, and
	// what becomes of it. They are in an order that does not depend on chance. -1
	// ends the run: everybody dies.
	next(w *World, parked []*request) (int, Fate)
}

// Fate is what becomes of a request.
type Fate uint8

const (
	// Arrives: it takes effect and its client hears the answer.
	Arrives Fate = iota
	// LosesAnswer: it takes effect, and nobody hears of it.
	LosesAnswer
	// LosesRequest: it has no effect, and nobody hears of it.
	LosesRequest
	// LandsLate: nobody hears of it, and it takes effect at a later step.
	LandsLate
)

// request is where a process stands. Without a verb it sleeps.
type request struct {
	by     *Process
	thread int // of the process
	verb   fault.Verb
	key    string
	body   []byte // of a put
	seq    int
	until  time.Time     // of a sleeper
	jump   time.Duration // without a verb: by how much the world's clock goes on
	// do takes effect, for the request itself or for one that lands in its place later; it
	// says in a word what was answered.
	do     func(r *request, d *mem.Bucket) string
	answer chan error // nil: nobody waits for it
	last   bool       // it lands behind all others
}

// who is whose turn it is when the request goes on: a process, or a thread of one.
func (r *request) who() string {
	if r.thread == 0 {
		return r.by.Name
	}
	return fmt.Sprintf("%s.%d", r.by.Name, r.thread)
}

// clock is the one of bucket and world; a bucket's copies keep it.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// epoch is when every world begins.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newWorld(c chooser, clk *clock, disk *mem.Bucket) *World {
	return &World{Disk: disk, chooser: c, clock: clk, rng: rand.New(rand.NewPCG(0, 0)), procs: map[string]*Process{}}
}

// Run makes a world of this seed and runs body in it; it returns when every
// client that body started is done.
func Run(t *testing.T, seed uint64, chances Chances, body func(w *World)) {
	t.Helper()
	clk := &clock{t: epoch}
	synctest.Test(t, func(*testing.T) {
		w := newWorld(&chances, clk, mem.New(mem.Options{Now: clk.now}))
		w.rng, w.patient = rand.New(rand.NewPCG(seed, 0x5a1e)), true
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

// Now is the clock of the world and its bucket.
func (w *World) Now() time.Time { return w.clock.now() }

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

// park puts the caller to rest until the scheduler picks it.
func (w *World) park(r *request) error {
	r.answer = make(chan error)
	w.mu.Lock()
	if r.by.dead || w.over {
		w.mu.Unlock()
		return ErrDead
	}
	w.seq++
	r.seq = w.seq
	w.parked = append(w.parked, r)
	w.mu.Unlock()
	return <-r.answer
}

// schedule picks who goes on until nobody is left.
func (w *World) schedule() {
	for {
		synctest.Wait()
		w.mu.Lock()
		w.bury()
		if len(w.parked) == 0 {
			w.mu.Unlock()
			return
		}
		slices.SortFunc(w.parked, func(a, b *request) int {
			return cmp.Or(strings.Compare(a.by.Name, b.by.Name), cmp.Compare(a.thread, b.thread), cmp.Compare(a.verb, b.verb), strings.Compare(a.key, b.key), cmp.Compare(a.seq, b.seq))
		})
		i, fate := -1, Arrives
		if w.most == 0 || len(w.trace) < w.most {
			i, fate = w.chooser.next(w, w.parked)
		}
		if i < 0 {
			w.over = true
			w.mu.Unlock()
			continue
		}
		r := w.parked[i]
		w.parked = slices.Delete(w.parked, i, i+1)
		w.mu.Unlock()
		w.step(r, fate)
	}
}

// bury lets the dead go.
func (w *World) bury() {
	w.parked = slices.DeleteFunc(w.parked, func(r *request) bool {
		if r.answer != nil && (r.by.dead || w.over) {
			close(r.answer) // park returns nil; ask looks whether it is dead
			return true
		}
		return w.over
	})
}

// step carries out one request.
func (w *World) step(r *request, fate Fate) {
	if r.verb == 0 {
		if r.jump > 0 {
			w.clock.set(w.clock.now().Add(r.jump))
		}
		r.answer <- nil
		return
	}
	end := r.by.reaches(r, &fate)
	effect := fate == Arrives || fate == LosesAnswer
	heard := "no answer"
	if effect {
		if end == Torn {
			r.body = r.body[:len(r.body)/2]
		}
		heard = r.do(r, w.Disk)
	}
	if r.verb == fault.PutIfAbsent && r.answer != nil {
		if w.Puts++; fate != Arrives {
			w.Lost++
		}
	}
	w.trace = append(w.trace, Step{Client: r.by.Name, Verb: r.verb, Key: r.key, Heard: heard, Fate: fate, End: end, body: r.body})
	if effect && r.verb.Durable() && w.wrote != nil {
		w.wrote()
	}
	if fate == LandsLate {
		late := *r
		late.by, late.answer = &Process{w: w, Name: latePrefix + r.by.Name}, nil
		w.mu.Lock()
		w.parked = append(w.parked, &late)
		w.mu.Unlock()
	}
	switch {
	case r.answer == nil:
	case end != 0: // it has died: bury lets its client go
		r.by.die()
		close(r.answer)
	case fate != Arrives:
		r.answer <- fmt.Errorf("%s %s: %w", r.verb, r.key, ErrLost)
	default:
		r.answer <- nil
	}
}
