// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/mem"
)

// State is all that survives when every process is dead: what is durable, what is
// still on its way, and what clients were told.
type State struct {
	disk   *mem.Bucket
	ledger *Ledger
	late   []*request
	now    time.Time

	from *State // nil: the beginning
	leg  Leg    // that led here
}

// path is how a state was reached, as text.
func (s *State) path() string {
	if s.from == nil {
		return ""
	}
	if before := s.from.path(); before != "" {
		return before + " > " + s.leg.String()
	}
	return s.leg.String()
}

// result is what one run came to.
type result struct {
	end   *State
	snaps []*State // behind each durable write, as if everybody had died then
	trace Story
	fired bool
	// writes of each process.
	writes map[string]int
}

// most is how many requests a run may make before it counts as one without an end.
const most = 4000

// run lets actors loose on a state. snaps: keep a copy behind every durable write.
func run(t *testing.T, clk *clock, from *State, leg Leg, actors []Actor, c chooser, snaps bool, with ...func(*World)) (res result) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		clk.set(from.now)
		w := newWorld(c, clk, from.disk.Clone())
		if seeded, ok := c.(*Chances); ok {
			w.patient, w.rng = true, rand.New(rand.NewPCG(seeded.seed, 0x51d))
		}
		w.ledger, w.most = from.ledger.clone(), most
		for _, r := range from.late {
			late := *r
			late.by = &Process{w: w, Name: r.by.Name}
			w.parked = append(w.parked, &late)
		}
		n := 0
		w.wrote = func() {
			if n++; snaps && (leg.Stop == 0 || n == leg.Stop) {
				at := leg
				if at.Stop = n; at.Order == nil {
					at.Order = ordered(c)
				}
				res.snaps = append(res.snaps, &State{disk: w.Disk.Clone(), ledger: w.ledger.clone(), late: w.onTheWay(), now: clk.now(), from: from, leg: at})
			}
		}
		for _, f := range with {
			f(w)
		}
		for _, a := range actors {
			p := w.Process(a.Name)
			if p.point = leg.Point; leg.Point.Process != a.Name {
				p.point = Point{}
			}
			go func() {
				room()
				a.Work(ctx, p)
			}()
		}
		w.schedule()
		res.trace, res.writes = w.trace, map[string]int{}
		for name, p := range w.procs {
			res.writes[name] = p.writes
			res.fired = res.fired || p.fired
		}
		if len(w.trace) >= most {
			w.ledger.breach("EveryRunEnds", "%d requests and no end", len(w.trace))
		}
		at := leg
		if at.Order == nil {
			at.Order = ordered(c)
		}
		res.end = &State{disk: w.Disk, ledger: w.ledger, late: w.onTheWay(), now: clk.now(), from: from, leg: at}
	})
	return res
}

// ordered is the order that a chooser has chosen so far; nil when it was the usual one.
func ordered(c chooser) []string {
	switch c := c.(type) {
	case *orders:
		return c.path()
	case *turns:
		return slices.Clone(c.path)
	case *sleeper:
		return slices.Clone(c.path)
	}
	return nil
}

// onTheWay is what has left its client and has not landed.
func (w *World) onTheWay() (late []*request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.parked {
		if r.answer == nil {
			late = append(late, r)
		}
	}
	return late
}

// origin is a root with some history: writer w has tables a and b, and z, which nobody
// touches; x and y too, if readers are to see some; and the lock that the scenario has.
func origin(t *testing.T, clk *clock, s Scenario) *State {
	t.Helper()
	clk.set(epoch)
	d := mem.New(mem.Options{Now: clk.now})
	if _, err := manifest.CreateIdentity(t.Context(), d, "uid-1", "SEED-0000", nil); err != nil {
		t.Fatal(err)
	}
	var past []Wish
	for i := range s.History {
		past = append(past, wish(fmt.Sprintf("past-%d", i), []string{"a", "b", "z"}[:max(2, 3-i)]...))
	}
	if s.Visible {
		past = append(past, seen("past-seen", "x", "y"))
	}
	seed := Writes("SEED", "w", past...)
	if s.Lock != "" {
		seed = inTurn("SEED", seed, Locks("SEED", s.Lock, 205*time.Hour))
	}
	res := run(t, clk, &State{disk: d, ledger: newLedger(), now: epoch}, Leg{Name: "past"}, []Actor{seed}, &script{}, false)
	res.end.from, res.end.now = nil, epoch.Add(10*time.Hour)
	if len(res.end.ledger.Breaches) > 0 {
		t.Fatalf("the beginning: %v\n%s", res.end.ledger.Breaches, res.trace)
	}
	if s.Until == "" {
		return res.end
	}
	leg, err := ParseLeg(s.Until)
	if err != nil || leg.Stop == 0 {
		t.Fatalf("the beginning: %q: want the order and the write (%v)", s.Until, err)
	}
	res = run(t, clk, res.end, leg, s.Began, &script{order: leg.Order}, true)
	if len(res.snaps) == 0 {
		t.Fatalf("the beginning: %s\n%s", s.Until, res.trace)
	}
	began := res.snaps[0]
	began.from = nil
	return began
}

// room makes a goroutine's stack as large as its work is going to need, at once: it
// would be copied five times on the way there.
//
//go:noinline
func room() {
	var b [24 << 10]byte
	runtime.KeepAlive(&b)
}
