// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/rand"
	"math/big"
	"time"
)

// lull is what is known of a store in which perhaps nothing happens.
type lull struct {
	// moved: something was published since the root was last listed.
	moved bool
	// pending operations that this process knows of.
	pending int
	// pods that are there, and how many of them report by a stream.
	pods, streaming int
}

// quiet reports whether everything that happens in the store would be told to us.
// What a listing finds then and nothing else does is little, and can wait: a
// sidecar that a process outside the cluster's sight armed late, or that came back
// with a restored object; a notice that got lost between two of our own
// goroutines; a root that was changed behind everybody's back. None of them can
// be published over: a writer resolves what pends on its tables before it arms, a
// publication names its parent's digest. A pod without a stream is another matter:
// what it has begun shows in listings only.
func (l lull) quiet() bool { return !l.moved && l.pending == 0 && l.streaming == l.pods }

// pace is the time until the root of such a store is listed again.
func (o Options) pace(l lull) time.Duration {
	if l.quiet() {
		return within(o.IdleSweepEvery, o.IdleSweepEvery*5/4)
	}
	return jitter(o.SweepEvery)
}

// reprobe is the time until a root's promises are probed again.
func (o Options) reprobe() time.Duration { return within(o.ProbeEvery*7/8, o.ProbeEvery) }

// backoff is the pause after the nth failure in a row: doubled each time, with a
// random half, so that what failed together does not come back together.
func (o Options) backoff(n int) time.Duration {
	d := o.Backoff
	for i := 1; i < n && d < o.BackoffMost; i++ {
		d *= 2
	}
	return jitter(min(d, o.BackoffMost))
}

// jitter returns between half of d and d.
func jitter(d time.Duration) time.Duration { return within(d/2, d) }

// within returns a random time above least, up to most; most when there is no room.
func within(least, most time.Duration) time.Duration {
	if least <= 0 || most <= least {
		return most
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(most-least)))
	if err != nil {
		return most
	}
	return least + time.Duration(n.Int64()) + 1
}
