// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import "fmt"

// Moment says how far a write had come when the process died.
type Moment uint8

const (
	momentInvalid Moment = iota
	// Before: it did not happen.
	Before
	// Unacknowledged: it happened, and nobody heard of it.
	Unacknowledged
	// Torn: half of the body of a put is there. Other calls did not happen.
	Torn
)

// String returns the moment in words.
func (m Moment) String() string {
	switch m {
	case Before:
		return "before"
	case Unacknowledged:
		return "unacknowledged"
	case Torn:
		return "torn"
	default:
		return fmt.Sprintf("Moment(%d)", uint8(m))
	}
}

// CrashPoint is a moment of the n-th durable write.
type CrashPoint struct {
	Write int // from 1
	Moment
}

// String reads like "durable write 3, unacknowledged".
func (p CrashPoint) String() string { return fmt.Sprintf("durable write %d, %s", p.Write, p.Moment) }

// CrashPoints returns both moments of every durable write of a scenario that
// makes this many, in order: before and unacknowledged.
func CrashPoints(writes int) []CrashPoint {
	points := make([]CrashPoint, 0, 2*writes)
	for k := 1; k <= writes; k++ {
		points = append(points, CrashPoint{k, Before}, CrashPoint{k, Unacknowledged})
	}
	return points
}

// CrashAt kills the process at the point.
func (b *Bucket) CrashAt(p CrashPoint) {
	b.When(p.String(), func(c Call) bool { return c.Write == p.Write }).Crash(p.Moment)
}

// Kill kills the process now. Calls that are under way get ErrCrashed; whether
// they take effect depends on how far they had come.
func (b *Bucket) Kill() { b.die() }

// Crashed is closed when the process is dead.
func (b *Bucket) Crashed() <-chan struct{} { return b.died }

func (b *Bucket) die() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.dead {
		b.dead = true
		close(b.died)
	}
}

func (b *Bucket) isDead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead
}
