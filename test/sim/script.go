// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"iter"
	"slices"
)

// script is a chooser that follows an order and then goes on as usual.
type script struct {
	order []string
	last  string
}

func (s *script) next(_ *World, parked []*request) (int, Fate) {
	pick, rank := 0, -2
	for i, r := range parked {
		c, score := r.who(), 0
		switch {
		case r.last:
			score = -1
		case len(s.order) > 0 && s.order[0] == c:
			score = 4
		case r.verb != 0 && c == s.last:
			score = 2
		case r.verb != 0:
			score = 1
		}
		if score > rank {
			pick, rank = i, score
		}
	}
	s.last = parked[pick].who()
	if len(s.order) > 0 {
		s.order = s.order[1:]
	}
	return pick, Arrives
}

// turns is a chooser that takes the turn from who has it at a few steps of a run,
// and at no other: everybody goes on until it is done, sleeps, or loses its turn.
type turns struct {
	first int   // who begins
	back  bool  // which neighbour gets the turn
	at    []int // the steps
	step  int
	last  string
	path  []string
}

func (r *turns) next(_ *World, parked []*request) (int, Fate) {
	pick := -1
	for i, q := range parked {
		if q.who() == r.last {
			pick = i
		}
	}
	switch {
	case r.step == 0:
		pick = r.first % len(parked)
	case pick < 0: // it is done: whoever is next by name
		for i, q := range parked {
			if pick < 0 || q.who() > r.last && parked[pick].who() < r.last {
				pick = i
			}
		}
	case parked[pick].verb == 0 || slices.Contains(r.at, r.step):
		if r.back {
			pick += len(parked) - 1
		} else {
			pick++
		}
		pick %= len(parked)
	}
	r.step++
	r.last = parked[pick].who()
	r.path = append(r.path, r.last)
	return pick, Arrives
}

// sleeper is a chooser that stops one process before its request number at+1, and
// lets it go on when all others are done: whatever it knows is old by then.
type sleeper struct {
	who  string
	at   int
	made int // requests of the process
	last string
	path []string
}

func (s *sleeper) next(_ *World, parked []*request) (int, Fate) {
	pick, rank := 0, -1
	for i, r := range parked {
		score := 0
		switch {
		case r.by.Name == s.who && s.made < s.at:
			score = 4
		case r.by.Name == s.who, r.last: // the others first
		case r.verb != 0 && r.who() == s.last:
			score = 3
		case r.verb != 0:
			score = 2
		default:
			score = 1
		}
		if score > rank {
			pick, rank = i, score
		}
	}
	if parked[pick].by.Name == s.who {
		s.made++
	}
	s.last = parked[pick].who()
	s.path = append(s.path, s.last)
	return pick, Arrives
}

// few yields every chooser of one or two turns taken in a run of so many steps.
func few(actors, steps int) iter.Seq[*turns] {
	return func(yield func(*turns) bool) {
		for i := 1; i < steps; i++ {
			for j := i; j < steps; j++ {
				for first := range actors {
					for back := range min(2, actors-1) {
						if !yield(&turns{first: first, back: back == 1, at: []int{i, j}}) {
							return
						}
					}
				}
			}
		}
	}
}
