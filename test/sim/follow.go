// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

// orders runs a program in every order of its requests that may matter, and
// returns the ends and, if snaps, what is there behind each write.
func (x *Explorer) orders(from *State, leg Leg, actors []Actor, limit int, snaps bool) (states []*State) {
	seen := map[Digest]bool{}
	add := func(s *State) {
		if d := exact(s.disk, s.ledger.promises()+s.waits()); !seen[d] {
			seen[d] = true
			states = append(states, s)
		}
	}
	o, res := &orders{}, result{}
	for n := 0; x.Failed == ""; n++ {
		if n == limit {
			x.Capped++
			x.turns(from, leg, actors, len(res.trace), snaps, add)
			break
		}
		res = x.run(from, leg, actors, o, snaps)
		x.Schedules++
		for _, s := range res.snaps {
			add(s)
		}
		if !o.cut {
			add(res.end)
		}
		if !o.again() {
			break
		}
	}
	return states
}

// turns runs a program in every order in which somebody loses its turn twice at
// most; of those, one of so many as the bounds say.
func (x *Explorer) turns(from *State, leg Leg, actors []Actor, steps int, snaps bool, add func(*State)) {
	n := 0
	for c := range few(len(actors), steps) {
		if n++; x.Failed != "" || n%x.bounds.Turns != 0 {
			continue
		}
		res := x.run(from, leg, actors, c, snaps)
		x.Schedules++
		for _, s := range append(res.snaps, res.end) {
			add(s)
		}
	}
}

// sleepers stops each actor before each of its requests until the others are done.
func (x *Explorer) sleepers() {
	for _, a := range x.scenario.Actors[:len(x.scenario.Actors)*min(1, len(x.scenario.Actors)-1)] {
		for at := 0; x.Failed == ""; at++ {
			c := &sleeper{who: a.Name, at: at}
			res := x.run(x.origin, Leg{Name: "do", Point: x.scenario.At}, x.scenario.Actors, c, false)
			x.Schedules++
			if x.reach(res.end); c.made <= at {
				break
			}
		}
	}
}

// closely runs the actors in every order in which somebody loses its turn at most
// twice. Where each ends is followed for a share of them.
func (x *Explorer) closely(steps int) {
	for c := range few(len(x.scenario.Actors), steps) {
		if x.Failed != "" {
			return
		}
		res := x.run(x.origin, Leg{Name: "do", Point: x.scenario.At}, x.scenario.Actors, c, false)
		x.Schedules++
		if x.share(exact(res.end.disk, res.end.ledger.promises()+res.end.waits()), x.bounds.Share) {
			x.reach(res.end)
		}
	}
}
