// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
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

// Leg is one run on the way to a state. As text, the legs of a path are what a
// replay needs.
type Leg struct {
	Name  string // which actors
	Point Point
	// Stop: everybody died behind this many durable writes; 0: they came to their end.
	Stop  int
	Order []string
}

// String reads like "do@W1:3:torn!4~W1*7,R1*2".
func (l Leg) String() string {
	s := l.Name
	if l.Point.Moment != 0 {
		s += fmt.Sprintf("@%s:%d:%s", l.Point.Process, l.Point.Write, l.Point.Moment)
	}
	if l.Stop > 0 {
		s += fmt.Sprintf("!%d", l.Stop)
	}
	for i := 0; i < len(l.Order); {
		j := i
		for j < len(l.Order) && l.Order[j] == l.Order[i] {
			j++
		}
		s += fmt.Sprintf("%s%s*%d", map[bool]string{true: "~", false: ","}[i == 0], l.Order[i], j-i)
		i = j
	}
	return s
}

// ParseLeg is the inverse of String.
func ParseLeg(s string) (l Leg, err error) {
	s, order, _ := strings.Cut(s, "~")
	for _, part := range strings.Split(order, ",") {
		if c, n, ok := strings.Cut(part, "*"); ok {
			times, err := strconv.Atoi(n)
			if err != nil {
				return l, fmt.Errorf("leg %q: %w", s, err)
			}
			for range times {
				l.Order = append(l.Order, c)
			}
		}
	}
	s, stop, ok := strings.Cut(s, "!")
	if ok {
		if l.Stop, err = strconv.Atoi(stop); err != nil {
			return l, fmt.Errorf("leg %q: %w", s, err)
		}
	}
	var point string
	if l.Name, point, ok = strings.Cut(s, "@"); !ok {
		return l, nil
	}
	f := strings.Split(point, ":")
	if len(f) != 3 {
		return l, fmt.Errorf("leg %q: want process:write:moment", s)
	}
	l.Point.Process = f[0]
	if l.Point.Write, err = strconv.Atoi(f[1]); err != nil {
		return l, fmt.Errorf("leg %q: %w", s, err)
	}
	for m, name := range momentNames {
		if name == f[2] {
			l.Point.Moment = Moment(m)
		}
	}
	return l, nil
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
		w.ledger = from.ledger.clone()
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
			go a.Work(ctx, p)
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
	case *ranks:
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

// origin is a root with some history: writer w has tables a and b.
func origin(t *testing.T, clk *clock, history int) *State {
	t.Helper()
	clk.set(epoch)
	d := mem.New(mem.Options{Now: clk.now})
	if _, err := manifest.CreateIdentity(t.Context(), d, "uid-1", "SEED-0000", nil); err != nil {
		t.Fatal(err)
	}
	var past []Wish
	for i := range history {
		past = append(past, wish(fmt.Sprintf("past-%d", i), "a", "b"))
	}
	res := run(t, clk, &State{disk: d, ledger: newLedger(), now: epoch}, Leg{Name: "past"}, []Actor{Writes("SEED", "w", past...)}, &script{}, false)
	res.end.from, res.end.now = nil, epoch.Add(10*time.Hour)
	if len(res.end.ledger.Breaches) > 0 {
		t.Fatalf("the beginning: %v\n%s", res.end.ledger.Breaches, res.trace)
	}
	return res.end
}
