// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// Scenario is what goes on in a root when the explorer begins to break it. Its
// beginning is a root in which writer w has published tables a and b.
type Scenario struct {
	Name   string
	Actors []Actor
	// History is how many publications of a and b there are at the beginning.
	History int
	// Rivals: two recoverers work on every state in which its writers may have died.
	Rivals bool
	// Visible: there are tables x and y too, whose readers follow their head.
	Visible bool
	// Lock, if set, is held by a maintenance from the beginning, through the first
	// recovery, and is over before the last.
	Lock manifest.LockMode
	// Began, if set, have worked and are dead: in the order, and up to the write, that
	// Until says, a leg without a point.
	Began []Actor
	Until string
	// Closely: every order in which somebody loses its turn at most twice is run, in a
	// sample too.
	Closely bool
	// At, if set, happens while somebody sleeps or loses its turn.
	At Point
}

var dead = recovery.RollForwardOnly{EndEpoch: true}

// undoing is all authority that there is, without asking anybody.
var undoing = recovery.Exclusive{Forward: dead, Check: func(context.Context) error { return nil }, Policy: recovery.Automatic}

// inTurn is one process that does one thing after the other.
func inTurn(name string, actors ...Actor) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		for _, a := range actors {
			a.Work(ctx, p)
		}
	}}
}

func sleeps(d time.Duration) Actor {
	return Actor{Work: func(ctx context.Context, p *Process) { _ = p.Sleep(ctx, d) }}
}

// later lets time pass for everybody.
func later(d time.Duration) Actor {
	return Actor{Work: func(ctx context.Context, p *Process) { _ = p.Passes(ctx, d) }}
}

// seen is a wish of which readers see every step.
func seen(name string, tables ...string) Wish {
	w := wish(name, tables...)
	w.Kind = recovery.KindForeign
	return w
}

// Scenarios are the ones that the explorer knows.
func Scenarios() []Scenario {
	three := Wish{Name: "three", Tables: []Content{{Table: "a", Text: "new"}, {Table: "b", Text: "new"}, {Table: "c", Text: "new"}}}
	tombstone := Wish{Name: "tombstone", Tables: []Content{{Table: "a", Text: "new"}, {Table: "b"}, {Table: "c", Text: "new"}}}
	load := Wish{Name: "load", Kind: recovery.KindLoad, Tables: []Content{{Table: "a", Text: "new"}, {Table: "b", Text: "new"}}}
	fails := Wish{Name: "fails", Tables: []Content{{Table: "a", Text: "new"}, {Table: "b", Fails: true}}}
	drops := Wish{Name: "drops", Tables: []Content{{Table: "a", Text: "new"}, {Table: "b"}}}
	return []Scenario{
		{Name: "one table", History: 1, Rivals: true, Actors: []Actor{Writes("W1", "w", wish("one", "a"))}},
		{Name: "three tables", History: 1, Rivals: true, Actors: []Actor{Writes("W1", "w", three)}},
		{Name: "a table registered, one dropped", History: 1, Rivals: true, Actors: []Actor{Writes("W1", "w", tombstone)}},
		{Name: "a load, confirmed by its effects", History: 1, Rivals: true, Actors: []Actor{Writes("W1", "w", load)}},
		{Name: "a withdrawal", History: 1, Rivals: true, Actors: []Actor{Writes("W1", "w", fails)}},
		{Name: "two in a row", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a"), wish("two", "a", "b"))}},
		{Name: "a group of two", History: 1, Actors: []Actor{WritesAtOnce("W1", "w", wish("one", "a"), wish("two", "b"))}},
		{Name: "a group of three", History: 1, Actors: []Actor{WritesAtOnce("W1", "w", wish("one", "a"), wish("two", "b"), wish("three", "c"))}},
		{Name: "a group that conflicts", History: 1, Actors: []Actor{WritesAtOnce("W1", "w", wish("one", "a"), wish("two", "a"))}},
		{Name: "a group beside a writer", History: 1, Actors: []Actor{WritesAtOnce("W1", "w", wish("one", "a"), wish("two", "b"), wish("three", "c")), Writes("V1", "v", wish("four", "d"))}},
		{Name: "fenced by mistake", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Recovers("R1", dead)}},
		{Name: "three tables, fenced by mistake", History: 1, Actors: []Actor{Writes("W1", "w", three), Recovers("R1", dead)}},
		{Name: "superseded", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Writes("W2", "w", wish("two", "a"))}},
		{Name: "superseded and recovered", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Writes("W2", "w"), Recovers("R1", dead)}},
		{Name: "two writers of one table", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Writes("V1", "v", wish("two", "a"))}},
		{Name: "two writers of two tables", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Writes("V1", "v", wish("two", "b"))}},
		{Name: "a drop beside a writer", History: 1, Actors: []Actor{Writes("W1", "w", drops), Writes("V1", "v", wish("two", "b"))}},
		{Name: "two in a row, fenced by mistake", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a"), wish("two", "a")), Recovers("R1", dead)}},
		{Name: "a freeze inside", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Freezes("M1")}},
		{Name: "a freeze and a recovery inside", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Freezes("M1"), Recovers("R1", dead)}},
		{Name: "a maintenance", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Admin("A1", "M1", 2), Maintains("O1", "M1", tries)}},
		{Name: "a maintenance that is thawed by hand", History: 1, Actors: []Actor{Admin("A1", "M1", 2), Maintains("O1", "M1", tries), ThawsByHand("T1", "M1")}},
		{Name: "two operators and a thaw by hand", History: 1, Actors: []Actor{Admin("A1", "M1", 2), Maintains("O1", "M1", tries), ThawsByHand("P1", "M1"), Maintains("Q1", "M1", tries)}},
		{Name: "a maintenance and two operators", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Admin("A1", "M1", 2), Maintains("O1", "M1", tries), Maintains("O2", "M1", tries)}},
		{Name: "a drain that waits, and a recovery", History: 1, Actors: []Actor{Drains("M1"), Writes("W1", "w", wish("one", "a")), Recovers("R1", dead)}},
		{Name: "a registration beside a collection", History: 1, Actors: []Actor{
			Writes("W2", "w", wish("two", "a")),
			inTurn("V1", Writes("V1", "v", wish("v-one", "b"), wish("v-two", "b"), wish("v-three", "b")), later(3*time.Hour), Collects("V1", 1), Writes("V1", "v", wish("v-four", "b"))),
		}},
		{Name: "a collection inside", History: 4, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Collects("C1", 1)}},
		{Name: "two collections inside", History: 4, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Collects("C1", 1), Collects("C2", 1)}},
		{Name: "a collection and a recovery inside", History: 4, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Collects("C1", 1), Recovers("R1", dead)}},
		{Name: "a trim behind a publication", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), inTurn("T1", Writes("T1", "v", wish("two", "b")), Trims("T1"))}},
		{Name: "a trim beside two writers", History: 1, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Writes("V1", "v", wish("two", "b")), Trims("T1")}},
		{Name: "readers see one table", History: 1, Visible: true, Rivals: true, Actors: []Actor{Writes("W1", "w", seen("one", "x"))}},
		{Name: "readers see three tables, one of them new", History: 1, Visible: true, Rivals: true, Actors: []Actor{Writes("W1", "w", seen("one", "x", "y", "q"))}},
		{Name: "undone by mistake", History: 1, Visible: true, Actors: []Actor{Writes("W1", "w", seen("one", "x")), Recovers("R1", undoing)}},
		{Name: "two tables undone by mistake", History: 1, Visible: true, Actors: []Actor{Writes("W1", "w", seen("one", "x", "y")), Recovers("R1", undoing)}},
		{Name: "undone beside another writer", History: 1, Visible: true, Actors: []Actor{Writes("W1", "w", seen("one", "x")), Writes("V1", "v", seen("two", "x")), Recovers("R1", undoing)}},
		{Name: "a trim and a recovery inside", History: 3, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Trims("T1"), Recovers("R1", dead)}},
		{Name: "a successor and a collection", History: 1, Actors: []Actor{
			Writes("W2", "w", wish("two", "a")),
			inTurn("W3", Writes("W3", "w", wish("three", "a"), wish("four", "a"), wish("five", "b")), later(3*time.Hour), Collects("W3", 1), Writes("W3", "v", wish("six", "b"))),
		}},
		{Name: "two collections of two minds", History: 10, Actors: []Actor{Writes("W1", "w", wish("one", "a")), Collects("C1", 1), Collects("C2", 6)}},
		{Name: "a drain, and who begins behind it", History: 1, Lock: manifest.Draining, Rivals: true, Actors: []Actor{Writes("W1", "w", wish("one", "a"))}},
		{Name: "a freeze, and who begins behind it", History: 1, Lock: manifest.Frozen, Rivals: true, Actors: []Actor{Writes("W1", "w", wish("one", "a", "b"))}},
		{Name: "a lock that is over", History: 1, Actors: []Actor{
			Writes("W1", "w", wish("one", "a")), inTurn("M1", Locks("M1", manifest.Frozen, time.Hour), later(2*time.Hour)), Writes("V1", "v", wish("two", "b")),
		}},
		{Name: "two trims inside", History: 3, Actors: []Actor{Writes("W1", "w", wish("one", "a"), wish("two", "b")), Trims("T1"), Trims("T2")}},
		{Name: "a trim and two recoveries inside", History: 3, Actors: []Actor{Writes("W1", "w", wish("one", "a")), inTurn("R1", Recovers("R1", dead), Trims("R1")), Recovers("R2", dead)}},
		{Name: "two who undo", History: 1, Visible: true, Actors: []Actor{Writes("W1", "w", seen("one", "x")), Recovers("R1", undoing), Recovers("R2", undoing)}},
		{Name: "two who undo two tables", History: 1, Visible: true, Actors: []Actor{Writes("W1", "w", seen("one", "x", "y")), Recovers("R1", undoing), Recovers("R2", undoing)}},
		{Name: "two who undo, for long", History: 1, Visible: true, Actors: []Actor{
			Writes("W1", "w", seen("one", "x")), Recovers("R1", undoing),
			inTurn("R2", later(10*time.Minute), Recovers("R2", undoing), Writes("R2", "v", seen("two", "x"))),
		}},
		{Name: "a trim, closely", History: 1, Closely: true, At: Point{"W1", 5, Before}, Actors: []Actor{Writes("W1", "w", wish("one", "a")), inTurn("T1", Writes("T1", "v", wish("two", "b")), Trims("T1"))}},
		{Name: "a trim behind all", History: 1, Actors: []Actor{inTurn("W1", Writes("W1", "w", wish("one", "a")), Trims("W1"))}},
		{
			Name: "two who undo, closely", History: 1, Visible: true, Closely: true,
			Began: []Actor{Writes("W1", "w", seen("one", "x", "y"))}, Until: "began!3",
			Actors: []Actor{Recovers("R1", undoing), Recovers("R2", undoing)},
		},
		{Name: "a collector whose clock is fast", History: 1, Actors: []Actor{
			Writes("W1", "w", wish("one", "a"), wish("two", "a"), wish("three", "a"), wish("four", "b")), inTurn("C1", sleeps(3*time.Hour), Collects("C1", 1)),
		}},
		{Name: "a collection beside one that died", History: 1, At: Point{"W1", 6, Before}, Actors: []Actor{
			Writes("W1", "w", wish("one", "a")), Collects("C1", 1),
			inTurn("X1", Writes("X1", "v", wish("v-one", "b"), wish("v-two", "b"), wish("v-three", "b"), wish("v-four", "b")), later(3*time.Hour)),
		}},
		{
			Name: "two that pend in one table", History: 1, Visible: true,
			Began: []Actor{Writes("W1", "w", seen("one", "x")), Writes("V1", "v", seen("two", "x"))}, Until: "began!6~V1*13,W1*14,V1*1",
			Actors: []Actor{Recovers("R1", undoing), Recovers("R2", undoing)},
		},
		{
			Name: "two that pend in one table, of which nothing is there", History: 1, Visible: true,
			Began: []Actor{Writes("W1", "w", seen("one", "x")), Writes("V1", "v", seen("two", "x"))}, Until: "began!5~V1*13,W1*13,V1*1",
			Actors: []Actor{Recovers("R1", undoing), Recovers("R2", undoing)},
		},
	}
}
