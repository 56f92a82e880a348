// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import "time"

// Chances are probabilities, each of 1, for every request. They choose by the
// seed of the world alone, so that a seed can be run again.
type Chances struct {
	// LoseRequest: it never arrives. LoseAnswer: it takes effect, nobody hears of it.
	LoseRequest, LoseAnswer float64
	// LandLate: the answer is lost now, the request takes effect at a later step.
	LandLate float64
	// Die: the process dies with the request, which arrives or does not.
	Die float64
	// Oversleep: the clock jumps by up to Jump before the step.
	Oversleep float64
	Jump      time.Duration
	// Favour is how likely the same client goes on, so that others sleep for long.
	Favour float64

	last string
	seed uint64
}

// next implements chooser.
func (c *Chances) next(w *World, parked []*request) (int, Fate) {
	i := w.rng.IntN(len(parked))
	if w.rng.Float64() < c.Favour {
		for k, r := range parked {
			if r.by.Name == c.last {
				i = k
			}
		}
	}
	r := parked[i]
	c.last = r.by.Name
	now := w.Now()
	if w.rng.Float64() < c.Oversleep {
		now = now.Add(time.Duration(w.rng.Int64N(int64(c.Jump) + 1)))
	}
	now = now.Add(time.Millisecond)
	if r.until.After(now) {
		now = r.until
	}
	w.clock.set(now)
	return i, c.fate(w, r)
}

// fate decides what becomes of a request.
func (c *Chances) fate(w *World, r *request) Fate {
	p := w.rng.Float64()
	switch {
	case r.verb == 0, r.answer == nil: // a sleeper; one that was late already
		return Arrives
	case p < c.LoseRequest:
		return LosesRequest
	case p < c.LoseRequest+c.LoseAnswer:
		return LosesAnswer
	case r.verb.Durable() && p < c.LoseRequest+c.LoseAnswer+c.LandLate:
		return LandsLate
	case r.verb.Durable() && p < c.LoseRequest+c.LoseAnswer+c.LandLate+c.Die:
		r.by.point = Point{Process: r.by.Name, Write: r.by.writes + 1, Moment: Before + Moment(w.rng.IntN(2))}
		return Arrives
	default:
		return Arrives
	}
}
