// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"fmt"
	"strings"
)

type action uint8

const (
	actNone action = iota
	actFail
	actLoseRequest
	actLoseAnswer
	actTear
	actParkBefore
	actParkAfter
	actLandLater
	actCrashBefore
	actCrashUnacknowledged
	actCrashTorn
)

// Rule says which calls something happens to. It does nothing until one of the
// methods that name a fault is called; that one ends the sentence.
type Rule struct {
	b     *Bucket
	name  string
	match func(Call) bool
	first int // counted from 1 among the calls that match
	last  int // 0: no end

	act  action
	err  error // actFail
	keep int   // actTear: bytes
	gate *gate // actParkBefore, actParkAfter, actLandLater

	matched int // guarded by b.mu
	fired   int // guarded by b.mu
}

// On begins a rule for the calls of a verb whose key begins with prefix.
func (b *Bucket) On(v Verb, prefix string) *Rule {
	return b.When(fmt.Sprintf("%s %s*", v, prefix), func(c Call) bool {
		return (v == Any || v == c.Verb) && strings.HasPrefix(c.Key, prefix)
	})
}

// When begins a rule for the calls that match. The name is for messages. match is
// called with a lock held: it must not call the bucket.
func (b *Bucket) When(name string, match func(Call) bool) *Rule {
	return &Rule{b: b, name: name, match: match, first: 1}
}

// Nth narrows the rule to the n-th call that matches, from 1, counted from here on.
func (r *Rule) Nth(n int) *Rule { r.first, r.last = n, n; return r }

// From narrows the rule to the n-th call that matches and all later ones.
func (r *Rule) From(n int) *Rule { r.first, r.last = n, 0; return r }

// Fail has the calls fail with err before anything is sent: Retry for a put.
func (r *Rule) Fail(err error) { r.err = err; r.install(actFail) }

// LoseRequest has the calls fail without an effect that the caller could know
// the absence of: ErrAnswerLost, Unknown for a put.
func (r *Rule) LoseRequest() { r.install(actLoseRequest) }

// LoseAnswer has the calls take effect and then fail: ErrAnswerLost, Unknown for a put.
func (r *Rule) LoseAnswer() { r.install(actLoseAnswer) }

// Tear has a put store only the first n bytes of its body, and lose the answer.
func (r *Rule) Tear(n int) { r.keep = n; r.install(actTear) }

// ParkBefore holds one call, the first that matches unless Nth says which, before
// it has an effect, until the gate is released or its context ends.
func (r *Rule) ParkBefore() *Gate { return r.park(actParkBefore) }

// ParkAfter holds one call after its effect and before its answer.
func (r *Rule) ParkAfter() *Gate { return r.park(actParkAfter) }

// LandLater loses the answer of one put or delete at once, and keeps the request
// on its way: it takes effect when the test says Land.
func (r *Rule) LandLater() *Late {
	if r.last == 0 {
		r.last = r.first
	}
	r.gate = newGate(r.name)
	r.install(actLandLater)
	return &Late{gate: r.gate}
}

// Crash kills the process at the call.
func (r *Rule) Crash(m Moment) {
	switch m {
	case Unacknowledged:
		r.install(actCrashUnacknowledged)
	case Torn:
		r.install(actCrashTorn)
	case Before:
		r.install(actCrashBefore)
	default:
		panic(fmt.Sprintf("fault: %v is no moment to crash at", m))
	}
}

func (r *Rule) park(a action) *Gate {
	if r.last == 0 {
		r.last = r.first
	}
	r.gate = newGate(r.name)
	r.install(a)
	return &Gate{gate: r.gate}
}

func (r *Rule) install(a action) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if r.act != actNone {
		panic("fault: the rule " + r.name + " has its fault already")
	}
	r.act = a
	r.b.rules = append(r.b.rules, r)
}

// hit reports whether the rule acts at c, which is the next call.
func (r *Rule) hit(c Call) bool {
	if !r.match(c) {
		return false
	}
	r.matched++
	return r.matched >= r.first && (r.last == 0 || r.matched <= r.last)
}

// Unfired returns the rules at which no call arrived.
func (b *Bucket) Unfired() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var names []string
	for _, r := range b.rules {
		if r.fired == 0 {
			names = append(names, fmt.Sprintf("%s, number %d: %d calls matched", r.name, r.first, r.matched))
		}
	}
	return names
}

// VerifyFired fails the test for every rule at which no call arrived: a fault
// that did not happen proves nothing.
func (b *Bucket) VerifyFired(t interface {
	Helper()
	Errorf(format string, args ...any)
}) {
	t.Helper()
	for _, name := range b.Unfired() {
		t.Errorf("fault never happened: %s", name)
	}
}
