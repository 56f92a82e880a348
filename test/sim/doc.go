// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package sim runs the library's own code under a scheduler: clients share a
// bucket in memory, every request of theirs stops before the bucket, and a chooser
// decides who goes on and what becomes of the request.
//
//	client A ── Publish ──▶ PutIfAbsent ─┐                        ┌─▶ does it, answers
//	client B ── Latest  ──▶ Get ─────────┤ parked ── the chooser ─┼─▶ does it, loses the answer
//	client C ── Collect ──▶ Delete ──────┘   picks one, says      ├─▶ loses it; it lands later, or never
//	                                         what becomes of it   └─▶ kills its process: before it, behind it, within it
//
// All clients run in a synctest bubble, so that the scheduler knows when every
// one of them stands at the bucket, sleeps, waits for another, or is done: there
// is no other concurrency than what was chosen, and a run can be run again, to the
// byte. Three choosers: the seed's (chance.go), one that visits the orders of
// requests that can matter (order.go), a script (script.go).
//
// # The explorer
//
// A [Scenario] is a root and the processes that work on it. The explorer breaks it
// wherever it can break:
//
//	beginning ─▶ the actors' requests in every order ─▶ all die behind each durable write ─┐
//	    └─▶ at each durable write of each actor: it dies before, behind or within it;      │
//	        its answer is lost; its request is lost; it lands late, or last                ▼
//	    a recovery, or two at once in every order ─▶ each dies behind each of its writes ─▶ the next ─▶ oracles
//
// Two states of the bucket with the same bytes, and the same promises to clients,
// have one future and are followed once. They are counted by what they are: ids by
// the order in which they appear, without digests and times (canon.go).
//
// A write of the bucket is whole or not there, as stores promise; only table
// versions, which others than salvor write, are torn. A pod of the reference store
// (pod.go) has a disk: each write, sync, creation, renaming and removal of its log
// is a place to die, whole or by half, and then the power fails or does not.
//
// Of the orders of requests, those that differ only in requests that commute are
// one (dynamic partial-order reduction with sleep sets). Where there are more of
// them than [Bounds] allows, the totals say "capped", and every order is run in which
// somebody loses its turn at most twice. Whatever the bounds, everybody is put to sleep
// before each of its requests until the others are done; and where two turns are what
// a bug needs, a scenario is followed closely: it has all of those orders, always.
//
// A scenario may begin with a lock, or with what processes left that died at a write.
//
// # The simulation
//
// [Simulator] runs seeds: up to a dozen processes of every sort at once, under loss,
// delay, deaths and jumps of the clock.
//
// # The oracles
//
// The [Ledger] sees every object that appears or goes. It keeps its own book of the
// store by the rules of docs/protocol.md (book.go) and says which law a request
// broke at the moment at which it did; the judge (oracle.go) ends every run with a
// last recovery, and looks at what is left. docs/invariants.md names both for each law.
//
// # When something is found
//
// A failure is a story, request by request, with the law that was broken, and the
// line that shows it again:
//
//	SIM_REPLAY='three tables > do!3 > recovery!1 > end' go test ./test/sim -run '^TestReplay$' -v
//	SIM_SEED=4711 go test ./test/sim -run '^TestSimulate$' -v
//
// The totals, of a sample and of all:
//
//	go test ./test/sim -run '^TestExplore' -v
//	SALVOR_PROVE=1 go test ./test/sim -run '^TestExplore' -v -timeout 30m
//
// What each scenario is about, and who takes part: [Scenarios]. Those whose tables
// readers see before the manifest names them have recoverers that undo, each under
// its own epoch (undo.go); one that slept wakes when another has taken over.
package sim
