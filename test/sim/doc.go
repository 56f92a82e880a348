// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package sim runs the library's own code under a scheduler: clients share a
// bucket in memory, every request of theirs stops before the bucket, and a seeded
// source of chance decides who goes on, what is lost, what lands late, and how
// far the clock jumps while somebody sleeps.
//
//	client A ── Publish ──▶ PutIfAbsent ─┐                       ┌─▶ does it, answers
//	client B ── Latest  ──▶ Get ─────────┤ parked ── the seed ───┼─▶ does it, loses the answer
//	client C ── Collect ──▶ Delete ──────┘   picks one and says  ├─▶ loses it; it lands later, or never
//	                                                             └─▶ jumps the clock first
//
// All clients run in a synctest bubble, so that the scheduler knows when every
// one of them stands at the bucket, sleeps, waits for another, or is done: there
// is no other concurrency than what the seed chose, and a seed can be run again.
package sim
