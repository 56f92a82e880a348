// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Simulator runs seeds. It keeps their common beginning.
type Simulator struct {
	t      *testing.T
	clock  *clock
	origin *State
}

// Simulated is what a seed came to.
type Simulated struct {
	Breaches []Breach
	// Deaths, Lost: how many processes died, how many answers or requests were lost.
	Deaths, Lost int
	// Held: a maintenance told that all is held.
	Held bool
	// End is a hash of everything that is durable in the end, and of the story.
	End Digest

	actors []Actor
	trace  Story
}

// NewSimulator makes the beginning.
func NewSimulator(t *testing.T) *Simulator {
	t.Helper()
	clk := &clock{t: epoch}
	return &Simulator{t: t, clock: clk, origin: origin(t, clk, Scenario{History: 4, Visible: true})}
}

// Seed runs one seed: writers under two ids and their successors, recoverers that
// take anybody for dead, maybe a maintenance, a collector and one that trims, all at
// once, while processes die, answers are lost, requests land late and the clock jumps;
// then the last recovery, and all oracles.
func (s *Simulator) Seed(seed uint64) Simulated {
	rng := rand.New(rand.NewPCG(seed, 0xac7))
	actors := cast(rng)
	c := &Chances{Favour: 0.5 + 0.4*rng.Float64(), Oversleep: 0.01, Jump: 3 * time.Hour, seed: seed}
	if rng.IntN(4) > 0 { // the others are calm: their order is all that is by chance
		c.LoseRequest, c.LoseAnswer, c.LandLate, c.Die = 0.02, 0.03, 0.02, 0.02
	}
	if rng.IntN(4) == 0 {
		c.Jump = 3 * time.Second // nobody's time is over at once
	}
	res := run(s.t, s.clock, s.origin, Leg{Name: "seed"}, actors, c, false)
	out := Simulated{actors: actors, trace: res.trace}
	for _, step := range res.trace {
		if step.End != 0 {
			out.Deaths++
		}
		if step.Fate != Arrives {
			out.Lost++
		}
		out.Held = out.Held || step.toldHeld()
	}
	end := res.end
	if len(end.ledger.Breaches) == 0 && slices.ContainsFunc(actors, func(a Actor) bool { return strings.HasPrefix(a.Name, "O") }) {
		next := run(s.t, s.clock, end, Leg{Name: "operator"}, []Actor{Maintains("O9", "M1", tries)}, &script{}, false)
		end, out.trace = next.end, append(out.trace, next.trace...)
		end.ledger.aThawLetsGo(end.disk, "M1")
	}
	if len(end.ledger.Breaches) == 0 {
		end.now = end.now.Add(200 * time.Hour)
		last := run(s.t, s.clock, end, Leg{Name: "end"}, []Actor{theEnd(func(*Process) {})}, &script{}, false)
		end, out.trace = last.end, append(out.trace, last.trace...)
	}
	out.Breaches = end.ledger.Breaches
	out.End = exact(end.disk, out.trace.bytes())
	return out
}

// String is the story of a seed, for people.
func (s Simulated) String() string {
	var b strings.Builder
	for _, a := range s.actors {
		fmt.Fprintf(&b, "%s ", a.Name)
	}
	fmt.Fprintf(&b, "\n%s", s.trace)
	for _, breach := range s.Breaches {
		fmt.Fprintf(&b, "  ==>  %s\n", breach)
	}
	return b.String()
}

// cast chooses who takes part.
func cast(rng *rand.Rand) (actors []Actor) {
	add := func(a Actor) {
		late := time.Duration(rng.IntN(3)) * time.Duration(rng.IntN(1000)) * time.Millisecond
		if rng.IntN(10) == 0 {
			late = time.Duration(rng.IntN(180)) * time.Minute
		}
		actors = append(actors, Actor{a.Name, func(ctx context.Context, p *Process) {
			if late == 0 || p.Sleep(ctx, late) == nil {
				a.Work(ctx, p)
			}
		}})
	}
	for _, id := range []string{"w", "v"} {
		for n := range 1 + rng.IntN(2) { // its process, and a successor
			name := fmt.Sprintf("%s%d", strings.ToUpper(id), n+1)
			var wishes []Wish
			for k := range 1 + rng.IntN(3) {
				wishes = append(wishes, anyWish(rng, fmt.Sprintf("%s-%d", name, k)))
			}
			add(Writes(name, id, wishes...))
		}
	}
	if rng.IntN(3) == 0 { // alone with its tables: two that are refused at one moment would be heard in any order
		add(WritesAtOnce("G1", "g", wish("G1-0", "d"), wish("G1-1", "e", "f")))
	}
	for n := range rng.IntN(3) {
		add(Recovers(fmt.Sprintf("R%d", n+1), dead))
	}
	switch rng.IntN(3) {
	case 0:
		add(Freezes("M1"))
	case 1: // somebody's maintenance, and one operator or two
		add(Admin("A1", "M1", 20))
		for n := range 1 + rng.IntN(2) {
			add(Maintains(fmt.Sprintf("O%d", n+1), "M1", 30))
		}
		if rng.IntN(3) == 0 {
			add(ThawsByHand("T2", "M1"))
		}
	}
	if rng.IntN(2) == 0 {
		add(Collects("C1", 1))
	}
	if rng.IntN(3) == 0 {
		add(Trims("T1"))
	}
	if rng.IntN(2) == 0 { // tables whose readers follow their head, and who may undo
		for n := range 1 + rng.IntN(2) {
			name := fmt.Sprintf("S%d", n+1)
			add(Writes(name, "s", seen(name+"-1", []string{"x", "y", "q"}[:1+rng.IntN(3)]...), seen(name+"-2", "y")))
		}
		for n := range 1 + rng.IntN(2) {
			add(Recovers(fmt.Sprintf("U%d", n+1), undoing))
		}
	}
	return actors
}

func anyWish(rng *rand.Rand, name string) Wish {
	w := Wish{Name: name}
	for _, table := range []string{"a", "b", "c"} {
		if rng.IntN(2) == 0 {
			continue
		}
		c := Content{Table: table, Text: name, Fails: rng.IntN(20) == 0}
		if table == "b" && rng.IntN(10) == 0 {
			c.Text, c.Fails = "", false // dropped
		}
		w.Tables = append(w.Tables, c)
	}
	if len(w.Tables) == 0 {
		w.Tables = []Content{{Table: "a", Text: name}}
	}
	return w
}
