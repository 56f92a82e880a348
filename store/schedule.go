// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import "time"

// lookGap is the least time between two looks at the manifest that others asked
// for: whoever forges a refresh costs ten requests a second at most.
const lookGap = 100 * time.Millisecond

// schedule says when the next pass is, and what it does.
type schedule struct {
	opt      *Options
	every    func() time.Duration // between two checkpoints
	due      time.Time            // of the next checkpoint
	look     time.Time            // of the next look at the manifest; zero: nobody asked
	looked   time.Time
	failures int           // in a row
	gap      time.Duration // between two looks for the end of what holds writers back; zero: nothing does
}

// next is how long to wait.
func (w *schedule) next() time.Duration {
	at := w.due
	if !w.look.IsZero() && w.look.Before(at) {
		at = w.look
	}
	return at.Sub(w.opt.Now())
}

// nudged notes that somebody wants the manifest to be looked at.
func (w *schedule) nudged() {
	if soon := w.looked.Add(lookGap); w.look.IsZero() || soon.Before(w.look) {
		w.look = soon
	}
}

// publish reports whether the pass that begins now makes a checkpoint: when it is
// due, or when the last one waits for what a look may show.
func (w *schedule) publish() bool { return w.failures > 0 || !w.opt.Now().Before(w.due) }

// passed plans the next pass; held says that a write lock, or an order, holds writers
// back.
func (w *schedule) passed(published, failed bool, backoff time.Duration, held bool) {
	w.looked, w.look = w.opt.Now(), time.Time{}
	if held {
		w.gap = min(max(2*w.gap, holdLookFirst), holdLookMost)
		w.look = w.looked.Add(w.gap/2 + time.Duration(w.opt.Jitter()*float64(w.gap)/2))
	} else {
		w.gap = 0
	}
	switch {
	case failed:
		w.failures++
		w.due = w.looked.Add(backoff)
	case published:
		w.failures = 0
		w.due = w.looked.Add(w.every())
	}
}
