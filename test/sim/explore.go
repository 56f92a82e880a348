// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/salvor-io/salvor/recovery"
)

// Bounds is how much of the whole is done.
type Bounds struct {
	// Orders is how many orders of a scenario's requests are run at most, RivalOrders
	// of two recoverers on one state. Where that was not all of them, every order is run
	// in which somebody loses its turn at most twice; one of Turns of them.
	Orders, RivalOrders, Turns int
	// One of so many states is finished; of those, one of so many has its last
	// recovery killed too. 1: every one.
	Share, Third int
	// RivalShare: on one of so many states two recoverers are let loose.
	RivalShare int
}

// Totals is what an exploration came to.
type Totals struct {
	// Seen are the distinct states that were finished and judged: by what they are,
	// whoever made them.
	Seen map[Digest]bool
	// States counts them as their bytes differ.
	States int
	// Schedules: orders of requests that were run.
	Schedules int
	// Windows: durable writes times what can happen at them, of the scenario's
	// usual course and of each recovery that follows; Crossed: how many of them did happen.
	Windows, Crossed int
	// Capped: scenarios and rivalries whose orders were not all run.
	Capped int
}

// Add adds b.
func (a *Totals) Add(b Totals) {
	if a.Seen == nil {
		a.Seen = map[Digest]bool{}
	}
	maps.Copy(a.Seen, b.Seen)
	a.States, a.Schedules = a.States+b.States, a.Schedules+b.Schedules
	a.Windows, a.Crossed, a.Capped = a.Windows+b.Windows, a.Crossed+b.Crossed, a.Capped+b.Capped
}

// Explorer explores one scenario.
type Explorer struct {
	Totals
	// Failed is what was found, as a story; "" if nothing was.
	Failed string

	t        *testing.T
	scenario Scenario
	bounds   Bounds
	clock    *clock
	origin   *State
	reached  map[Digest]bool // states from which recovery was run
	finished map[Digest]bool
}

// Explore explores a scenario until it finds a breach.
//
//	beginning ──▶ every order of the actors' requests ──▶ behind each durable write all die
//	    │                                                            │
//	    └──▶ each durable write of each actor ──▶ it dies before,    │
//	         behind or within it, or its answer is lost, or it lands late, or last
//	                                                                 ▼
//	              a recovery, and two at once ──▶ behind each of its durable writes it dies
//	                                                                 ▼
//	                                    the last recovery, and all oracles
func Explore(t *testing.T, s Scenario, b Bounds) *Explorer {
	t.Helper()
	x := newExplorer(t, s, b)
	for _, st := range x.orders(x.origin, Leg{Name: "do"}, s.Actors, b.Orders, true) {
		x.reach(st)
	}
	x.sleepers()
	dry := x.run(x.origin, Leg{Name: "do"}, s.Actors, &script{}, false)
	if s.Closely {
		x.closely(len(dry.trace))
	}
	for _, a := range s.Actors {
		for n := 1; n <= dry.writes[a.Name]; n++ {
			for _, m := range []Moment{Before, Unacknowledged, Torn, AnswerLost, RequestLost, Late, Last} {
				x.point(Point{a.Name, n, m})
			}
		}
	}
	return x
}

func newExplorer(t *testing.T, s Scenario, b Bounds) *Explorer {
	x := &Explorer{t: t, scenario: s, bounds: b, clock: &clock{t: epoch}, reached: map[Digest]bool{}, finished: map[Digest]bool{}, Totals: Totals{Seen: map[Digest]bool{}}}
	x.origin = origin(t, x.clock, s)
	return x
}

// point crosses one window.
func (x *Explorer) point(p Point) {
	leg := Leg{Name: "do", Point: p}
	res := x.run(x.origin, leg, x.scenario.Actors, &script{}, false)
	if p.Moment == Torn && !res.fired {
		return // nothing that can be torn
	}
	x.Windows++
	if res.fired {
		x.Crossed++
	}
	x.reach(res.end)
}

// run is one run, which may find a breach.
func (x *Explorer) run(from *State, leg Leg, actors []Actor, c chooser, snaps bool) result {
	res := run(x.t, x.clock, from, leg, actors, c, snaps)
	x.check(res.end)
	return res
}

// check tells the story of the first breach.
func (x *Explorer) check(end *State) {
	if len(end.ledger.Breaches) > 0 && x.Failed == "" {
		x.Failed = x.tell(end)
	}
}

// waits is what is on its way, as a text.
func (s *State) waits() string {
	out := ""
	for _, r := range s.late {
		out += r.verb.String() + " " + r.key + " "
	}
	return out
}

// reach recovers from a state, unless that was done: once to the end, once up to
// each of its durable writes, and with two at once.
func (x *Explorer) reach(s *State) {
	d := exact(s.disk, s.ledger.promises()+s.waits())
	if x.reached[d] || x.Failed != "" {
		return
	}
	x.reached[d] = true
	s.now = epoch.Add(200 * time.Hour) // locks are over, history is old
	x.finish(s)
	first := rivals(x.scenario.Visible)[:1]
	if len(s.late) > 0 {
		for _, end := range x.orders(s, Leg{Name: "recovery"}, first, x.bounds.RivalOrders, true) {
			x.sample(end)
		}
		return
	}
	res := x.run(s, Leg{Name: "recovery"}, first, &script{}, true)
	for _, snap := range res.snaps {
		x.Windows += 2 // behind this write, which is before the next
		if x.sample(snap) {
			x.Crossed += 2
		}
	}
	if x.share(d, x.bounds.RivalShare) {
		for n := 1; n <= res.writes["R8"]; n++ {
			for _, m := range []Moment{AnswerLost, RequestLost} {
				leg := Leg{Name: "recovery", Point: Point{"R8", n, m}}
				lost := x.run(s, leg, first, &script{}, false)
				x.Windows++
				if x.sample(lost.end) {
					x.Crossed++
				}
			}
		}
	}
	if x.scenario.Rivals && x.share(d, x.bounds.RivalShare) {
		for _, end := range x.orders(s, Leg{Name: "rivals"}, rivals(x.scenario.Visible), x.bounds.RivalOrders, true) {
			x.sample(end)
		}
	}
}

// rivals are two recoverers, who may undo where there is something to undo.
func rivals(visible bool) []Actor {
	var a recovery.Authority = dead
	if visible {
		a = undoing
	}
	return []Actor{Recovers("R8", a), Recovers("R9", a)}
}

func (x *Explorer) share(d Digest, of int) bool { return int(d[0])%of == 0 }

// sample finishes its share of the states, and says whether this one belongs to it.
func (x *Explorer) sample(s *State) bool {
	if !x.share(exact(s.disk, s.ledger.promises()+s.waits()), x.bounds.Share) {
		return false
	}
	x.finish(s)
	return true
}

// finish judges a state, unless that was done.
func (x *Explorer) finish(s *State) {
	if x.Failed != "" {
		return
	}
	d := exact(s.disk, s.ledger.promises()+s.waits())
	if x.finished[d] {
		return
	}
	x.finished[d] = true
	x.States++
	x.Seen[distinct(s.disk, s.ledger.promises()+s.waits())] = true
	s.now = epoch.Add(210 * time.Hour) // the locks of recoverers that died are over
	third := x.share(d, x.bounds.Third) && s.leg.Name != "do"
	writes := 0
	res := x.run(s, Leg{Name: "end"}, []Actor{theEnd(func(p *Process) { writes = p.writes })}, &script{}, third)
	if !third {
		return
	}
	for _, snap := range res.snaps[:min(writes, len(res.snaps))] {
		if x.Failed == "" && !x.finished[exact(snap.disk, snap.ledger.promises()+snap.waits())] {
			snap.leg.Name = "end"
			x.last(snap)
		}
	}
}

// last finishes a state whose last recovery was killed.
func (x *Explorer) last(s *State) {
	d := exact(s.disk, s.ledger.promises()+s.waits())
	x.finished[d] = true
	x.States++
	x.Seen[distinct(s.disk, s.ledger.promises()+s.waits())] = true
	x.run(s, Leg{Name: "end2"}, []Actor{{"E2", theEnd(func(*Process) {}).Work}}, &script{}, false)
}

// theEnd is the judge.
func theEnd(recovered func(p *Process)) Actor {
	return Actor{"E1", func(ctx context.Context, p *Process) {
		(&judge{p, p.w.ledger}).finish(ctx, func() { recovered(p) })
	}}
}

// String reads like "812 distinct states (950 by bytes), 40 schedules, windows crossed 120 of 120".
func (a Totals) String() string {
	s := fmt.Sprintf("%d distinct states (%d by bytes), %d schedules, windows crossed %d of %d", len(a.Seen), a.States, a.Schedules, a.Crossed, a.Windows)
	if a.Capped > 0 {
		s += fmt.Sprintf(", orders capped %d times", a.Capped)
	}
	return s
}
