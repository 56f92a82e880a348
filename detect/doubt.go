// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package detect

import "time"

// doubt is the operator's doubt in itself.
type doubt struct {
	recent []loss          // the newest of each writer in the last Window, oldest first
	lost   map[Writer]bool // since isolated: whose stream was lost and is not back
	since  time.Time       // zero: not isolated
	before int             // streams at the start of the burst
	// calm is since when most streams are back; zero: they are not.
	calm time.Time
}

type loss struct {
	at time.Time
	w  Writer
}

// Isolation says whether, and since when, most of what happens is put down to
// our own network.
type Isolation struct {
	Isolated bool
	Since    time.Time
	// Missing streams of the Before that there were.
	Missing, Before int
}

// Isolation returns the detector's doubt at a time.
func (d *Detector) Isolation(now time.Time) Isolation {
	d.doubt.settle(d, now)
	return Isolation{Isolated: !d.doubt.since.IsZero(), Since: d.doubt.since, Missing: d.unexplained(), Before: d.doubt.before}
}

// lose notes a lost stream. It reports whether the fleet is one in which a burst
// can be told from deaths.
func (b *doubt) lose(d *Detector, w Writer, at time.Time) (large bool) {
	fresh, total := b.recent[:0], d.open+1
	for _, l := range b.recent {
		if l.w == w || at.Sub(l.at) > d.opt.Window {
			continue // one writer that comes and goes is no burst
		}
		fresh = append(fresh, l)
		if f := d.writers[l.w]; f != nil && f.stream.state != streamOpen {
			total++
		}
	}
	b.recent = append(fresh, loss{at, w})
	if !b.since.IsZero() {
		b.lost[w], b.calm = true, time.Time{}
		return true
	}
	if n := len(b.recent); n >= d.opt.Burst && n*d.opt.Share > total {
		b.since, b.before, b.lost = at, total, map[Writer]bool{}
		for _, l := range b.recent {
			b.lost[l.w] = true
		}
	}
	return total >= d.opt.Burst
}

// settle ends the doubt when the streams are back: all of them that no pod or
// node status explains at once, most of them after Settle.
func (b *doubt) settle(d *Detector, now time.Time) {
	if b.since.IsZero() {
		return
	}
	missing := d.unexplained()
	switch {
	case missing == 0:
	case missing >= d.opt.Burst || missing*d.opt.Share > b.before:
		b.calm = time.Time{}
		return
	case b.calm.IsZero():
		b.calm = now
		return
	case now.Sub(b.calm) < d.opt.Settle:
		return
	}
	*b = doubt{}
}

// unexplained counts the streams that were lost since the doubt began, are not
// back, and whose pods look alive.
func (d *Detector) unexplained() (n int) {
	for w := range d.doubt.lost {
		if f := d.writers[w]; f != nil && f.stream.lost() && !f.pod.State.dead() {
			n++
		}
	}
	return n
}
