// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package fault stands in front of a bucket and does what networks, disks and
// dying processes do, at the call that a test names. A test reads as a sentence:
//
//	b := fault.Wrap(mem.New(mem.Options{}))
//
//	b.On(fault.PutIfAbsent, "manifest/").Nth(2).LoseAnswer()
//	b.On(fault.Delete, "recovery/").Fail(errThrottled)
//	b.On(fault.Any, "").From(10).Fail(errPartition)
//
//	gate := b.On(fault.PutIfAbsent, "manifest/").ParkBefore()
//	go publish(b)
//	gate.Await(ctx)        // the publisher stands before its publication
//	fence(store)
//	gate.Release()
//
//	late := b.On(fault.PutIfAbsent, "tables/").LandLater()
//	apply(b)               // gets Unknown
//	late.Land(ctx)         // and now it lands
//
// # Crashes
//
// Every PutIfAbsent and every Delete that is called is a durable write, counted
// from 1, whatever it comes to. A crash test learns the number from a run
// without faults and then visits each:
//
//	for _, point := range fault.CrashPoints(writes) {
//		b := fault.Wrap(store.Clone())
//		b.CrashAt(point)          // "durable write 3, unacknowledged"
//		run(b)                    // dies: from there on every call is ErrCrashed
//		recover(store)
//	}
//
//	Before           the write did not happen
//	Unacknowledged   it happened, and nobody heard of it
//	Torn             half of the body is there: what a store that is not atomic
//	                 would leave; no driver of ours does, readers must still see it
//
// After a crash nothing gets through, calls that were parked included, and no
// context is looked at: the process is dead. Crashed() is closed then, so that a
// test can end loops that retry for ever.
//
// A rule that never fired proves nothing: end a test with VerifyFired(t).
//
// The rules are looked at in the order in which they were made; the first that
// fires at a call is the one that acts. Everything is safe for concurrent use,
// and deterministic as far as the order of the calls is.
package fault
