// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package maintenance

import (
	"maps"
	"slices"
	"strings"
)

// Order is the one order in which every freeze takes its locks.
func Order(stores []string) []string {
	out := slices.Clone(stores)
	slices.SortFunc(out, strings.Compare)
	return slices.Compact(out)
}

// Plan is what a freeze does next in all of its stores.
type Plan struct {
	// Stores are the next steps, by the stores' names.
	Stores map[string]Next
	// Leave: the freeze gives up and lets go of everything. It has to be remembered
	// before anything is released: a freeze that is over takes no lock again.
	Leave bool
	// Why it gives up. Hook: for a hook that failed.
	Why  string
	Hook bool
}

// Decide decides for all stores of a freeze, each by its name. No lock is taken
// before the one in front of it is there: whoever waits holds only what comes
// before what it waits for, so nobody waits in a circle.
//
// When the time to drain one store is over and the terms say Release, all are
// released: a freeze holds everything that was asked for, or nothing. One that has
// A pre hook that may not fail and does is such an end, too. One that has
// lost a lock (thawed by hand, or its time was over) keeps the others, and takes no more.
func (t Terms) Decide(views map[string]View) Plan {
	names := make([]string, 0, len(views))
	lost := false
	for name, v := range views {
		names = append(names, name)
		lost = lost || v.Ended != nil || v.Took && !t.holds(v) && v.Problem == ""
	}
	p := Plan{Stores: make(map[string]Next, len(views)), Leave: t.Leave}
	turn := true
	for _, name := range Order(names) {
		v := views[name]
		n := Decide(t, v, turn)
		if lost && !v.Took && n.State == Requested && (v.Problem == "" || !v.Asked) {
			n = Next{State: Released, Why: "the freeze has lost a lock, and takes no more"}
		}
		turn = turn && n.State != Requested
		if n.HookFailed != "" {
			p.Leave, p.Hook, p.Why = true, true, name+": "+n.HookFailed
		}
		if n.TimedOut && n.HookFailed == "" && t.OnTimeout != Hold {
			p.Leave, p.Why = true, name+": "+n.Why
		}
		p.Stores[name] = n
	}
	return p
}

// Summary is a freeze as a whole.
type Summary struct {
	// State is the least that any of its stores has reached; Released only when all
	// have.
	State State
	// Counts of stores by state.
	Requested, Draining, Held, Released int
	// Broken: some of its locks have ended while others have not.
	Broken bool
	// Undoing: what hooks did is not undone yet in so many. NotUndone says what never was.
	Undoing   int
	NotUndone string
}

// Sum sums up a plan.
func Sum(plan map[string]Next) Summary {
	var s Summary
	for _, name := range Order(slices.Collect(maps.Keys(plan))) {
		n := plan[name]
		if n.Undoing {
			s.Undoing++
		}
		if n.NotUndone != "" && s.NotUndone == "" {
			s.NotUndone = name + ": " + n.NotUndone
		}
		switch n.State {
		case Draining:
			s.Draining++
		case Held:
			s.Held++
		case Released:
			s.Released++
		default:
			s.Requested++
		}
	}
	s.Broken = s.Released > 0 && s.Released < len(plan)
	switch {
	case s.Released == len(plan):
		s.State = Released
	case s.Requested > 0:
		s.State = Requested
	case s.Draining > 0:
		s.State = Draining
	default:
		s.State = Held
	}
	return s
}
