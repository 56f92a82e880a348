// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package maintenance decides what a freeze does next: which lock to take, when
// everybody has drained, when to let go. What is seen goes in, the next step comes
// out. It has no clock, no goroutine and no handle on anything: the same values give
// the same step, so an operator that was killed goes on where its successor looks.
//
// # The life of one freeze
//
//	resource       manifest                     pods                      step
//	--------       --------                     ----                      ----
//	created        -                            serve                     Take
//	               lock M1, Draining            2 of 3 acknowledge        none: ledger-2 has 1 write in flight
//	               lock M1, Draining            all acknowledge           Hold
//	               lock M1, Frozen              park who comes to write   none: Held
//	until later    lock M1, Frozen              -                         Extend
//	deleted        lock M1, Frozen              -                         Release
//	               released at version 71       go on                     none: Released
//
// # Who may stop waiting
//
//	drain timeout      Release: the lock is released, the stuck pods are named
//	                   Hold:    the store is frozen without them, and they are named
//	until              whoever first gets an answer of object storage with that date ends
//	                   the lock: the operator, a pod, `salvor manifest thaw`
//
// A freeze that has ended never freezes again: what is known of its lock is looked
// for in the manifest before one is taken, not in memory.
//
// # Hooks
//
// Pods that do not speak control are quiesced by hooks, which package controllers runs.
// What they are about to do is written down first, so each of these has one answer
// (HookTerms.Decide):
//
//	written down                          the freeze goes on            it is over
//	------------                          ------------------            ----------
//	nothing                               prior, then pre               -
//	pre begun, nobody knows its end       pre again, in time            post, in time
//	pre has run, other containers now     pre again; prior is kept      post
//	pre has failed                        pre again, or give up         post
//	post has failed                       -                             post again, until 15 minutes after until
//
// The lock is released when nothing is owed, or nothing that may keep it.
//
// # Many stores
//
// The locks of one freeze are taken in the order of the stores' names, and none
// before the one in front of it is there. Two freezes that overlap meet at the
// first store that they share; nobody ever waits in a circle.
package maintenance
