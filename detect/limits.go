// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// fence is when one writer's epochs were given away.
type fence struct {
	of    manifest.Epoch // the registration that the newest one was about
	at    time.Time
	count int // of the same process, since the last long quiet
}

// grants are the epochs given away in the last second, by anybody.
type grants []time.Time

func (g *grants) since(t time.Time) []time.Time {
	i := 0
	for i < len(*g) && !(*g)[i].After(t) {
		i++
	}
	*g = (*g)[i:]
	return *g
}

// holdBack is the reason why v may not end an epoch now, and when it may.
func (d *Detector) holdBack(w Writer, f *facts, v Verdict, now time.Time) (Hold, time.Time) {
	proven := v.State == Dead && v.Reason != Orphaned
	if !d.doubt.since.IsZero() {
		if !proven {
			return HoldIsolated, time.Time{}
		}
		if last := d.grants.since(now.Add(-time.Second)); len(last) >= d.opt.FencesIsolated && !f.granted() {
			return HoldRate, last[len(last)-d.opt.FencesIsolated].Add(time.Second)
		}
	}
	if f.suspected() && v.State == Suspect && f.stream.large {
		wait := d.opt.Window
		if f.stream.refused {
			wait = d.opt.RefusedAfter
		}
		if until := f.stream.since.Add(wait); now.Before(until) {
			return HoldBurst, until
		}
	}
	// A container that is seen to be over is no flapping network, and neither is a
	// process that was not fenced before: its predecessor has died indeed.
	if proven && v.Reason != NodeNotReady || f.granted() || f.fence.of.Process != f.registered.Process {
		return HoldNone, time.Time{}
	}
	if until := f.fence.at.Add(d.spacing(f.fence.count)); f.fence.count > 0 && now.Before(until) {
		return HoldRate, until
	}
	return HoldNone, time.Time{}
}

// granted: the registration in force is one that was given away already.
func (f *facts) granted() bool { return f.fence.count > 0 && f.fence.of == f.registered }

func (d *Detector) spacing(count int) time.Duration {
	s := d.opt.Spacing
	for i := 1; i < count && s < d.opt.MaxSpacing; i++ {
		s *= 2
	}
	return min(s, d.opt.MaxSpacing)
}

func (d *Detector) grant(f *facts, now time.Time) {
	if f.granted() {
		return
	}
	if now.Sub(f.fence.at) > 2*d.opt.MaxSpacing || f.fence.of.Process != f.registered.Process {
		f.fence.count = 0
	}
	f.fence = fence{of: f.registered, at: now, count: f.fence.count + 1}
	d.grants = append(d.grants.since(now.Add(-time.Second)), now)
}
