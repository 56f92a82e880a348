// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"math/rand/v2"
	"slices"
)

// script is a chooser that follows an order and then goes on as usual.
type script struct {
	order []string
	last  string
}

func (s *script) next(_ *World, parked []*request) (int, Fate) {
	pick, rank := 0, -1
	for i, r := range parked {
		c, score := r.by.Name, 0
		switch {
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
	s.last = parked[pick].by.Name
	if len(s.order) > 0 {
		s.order = s.order[1:]
	}
	return pick, Arrives
}

// ranks is a chooser of chance.
type ranks struct {
	rng  *rand.Rand
	rank map[string]float64
	// drops are the steps at which whoever would go on falls behind everybody.
	drops []int
	steps int
	path  []string
}

// length is about how many requests the actors of a scenario make, falls how often
// somebody falls behind: that many orderings of two requests have to come together
// for a bug to show.
const (
	length = 60
	falls  = 3
)

func newRanks(seed uint64) *ranks {
	r := &ranks{rng: rand.New(rand.NewPCG(seed, 0x9c7)), rank: map[string]float64{}}
	for range falls {
		r.drops = append(r.drops, r.rng.IntN(length))
	}
	return r
}

func (r *ranks) next(_ *World, parked []*request) (int, Fate) {
	pick := r.best(parked)
	if slices.Contains(r.drops, r.steps) {
		r.rank[parked[pick].by.Name] = -1 - float64(r.steps)
		pick = r.best(parked)
	}
	r.steps++
	c := parked[pick]
	if c.verb == 0 { // who sleeps lets others go
		r.rank[c.by.Name] = -1 - float64(r.steps)
	}
	r.path = append(r.path, c.by.Name)
	return pick, Arrives
}

func (r *ranks) best(parked []*request) int {
	pick := 0
	for i, q := range parked {
		if _, ok := r.rank[q.by.Name]; !ok {
			r.rank[q.by.Name] = r.rng.Float64()
		}
		if r.rank[q.by.Name] > r.rank[parked[pick].by.Name] {
			pick = i
		}
	}
	return pick
}
