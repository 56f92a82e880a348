// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package recorder puts units of work into a log: all that happened in one, or nothing.
//
// A unit of work is armed, records events in memory, and is committed as one transaction
// or aborted. Nothing is written before Commit, so what was aborted, or only read, leaves
// no byte and takes no position. (This Arm is not the Arm of package recovery: that one
// is an object in the root, this one is a word in memory.)
//
//	         arm         record       commit        commit events   abort        poison
//	idle     armed       poisoned     poisoned      idle, written   idle         poisoned
//	armed    poisoned    recording    idle          poisoned        idle         poisoned
//	recording  poisoned  recording    idle, written poisoned        idle         poisoned
//	poisoned refused     refused      refused       refused         refused      poisoned
//
// Between Arm and Commit or Abort the recorder belongs to one unit of work. Whoever arms
// it again, records or commits outside of one, or commits events of its own in the middle
// of another's, has lost count of what belongs together: that poisons the recorder. So
// does a commit, a sync or a checkpoint that fails. The first reason stands, every later
// call gets it and writes nothing, and only a restart ends it: the log, read again, is
// what happened.
//
// Commit holds the recorder until the log has answered. A store with many writers at once
// evaluates them in order and calls log.Commit itself, as package store does: their
// transactions share a sync.
package recorder
