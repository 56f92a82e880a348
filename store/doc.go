// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package store is the reference store: JSON rows in tables, multi-table
// transactions over HTTP, state in memory, durable in a local log, published to
// the root by checkpoints. It is small on purpose and complete: what a store
// author copies from, and what the tests kill.
//
// # The life of one transaction
//
//	POST /v1/transactions {"id":"pay-7","statements":[
//	     {"op":"put","table":"accounts","key":"alice","row":{"cents":40}},
//	     {"op":"put","table":"accounts","key":"bob","row":{"cents":60}}]}
//
//	take room for its bytes                  too many are in flight: Overloaded, before one is read
//	evaluate, in the order of the log        reads see what was written before, acknowledged or not;
//	                                         a precondition that fails: refused, the log has no byte of it
//	log.Append -> position 812               crash: all of it is there after the restart, or nothing
//	fsync, shared with whoever came meanwhile
//	apply to the tables in memory            other clients see it, whole
//	200 {"position":812}                     it survives anything that leaves the disk
//
// That is Options.Sync at its default. In the other modes the fsync comes after the answer,
// which says so; a crash of the process loses nothing in any of them. What a power cut
// loses, and what does not depend on the mode, is in durability.go.
//
// An answer that was lost is asked for again under the same id: the transaction is
// done once. Ids are remembered for as long as their record is in the log, and no
// more than Options.Remember of them.
//
// A transaction is evaluated in memory, under one lock, by whoever comes next, and handed
// to the log without waiting for the disk: so many share a sync. Package store/log/recorder
// does not fit here, since it belongs to one unit of work until the disk has answered, and
// knows no savepoints; evaluate.go undoes what was rolled back, and the log gets what stands.
// Whoever is refused because of a write that is not durable yet is told when it is: nobody
// ever sees what the log did not take, not even as an obstacle.
//
// # Who reads
//
//	a get, a page       what is durable and applied, at one position
//	a snapshot          all tables at one position, over as many pages as it takes; bounded in
//	                    time, number and memory: then SnapshotGone, start again
//	a feed of changes   the log from a position on, as far as it is durable and applied; bounded
//	                    memory, nobody waits for it; overtaken by a truncation: Truncated, with
//	                    the earliest position that there is; take a snapshot and go on behind it
//
// # The life of one checkpoint
//
//	every interval, if something changed
//	snapshot of all changed tables at position 812       O(1), transactions go on
//	the log is synced up to 812                          it was, unless Options.Sync says otherwise
//	recovery.Writer.Commit, one operation of kind checkpoint
//	    recovery/<op>                                    arm
//	    tables/ledger-0.accounts/...08-<op>              one object a changed table
//	    recovery/<op>.confirmed                          confirm
//	    manifest/...42                                   visible, all tables in one step
//	read the published versions back, then truncate the log up to 812
//
// All tables that changed go out in one operation or none do: otherwise a reader of
// the root could see half of a transaction. A pending operation of one table
// therefore holds the whole checkpoint back; transactions never wait for it: rows are put
// together as bytes that are there already, a part is in memory at a time, and who writes
// it rests as long as it has worked (pen.go).
//
// # The mirror
//
// With Options.Mirror the log is copied into the root while it is written: ranges of
// transactions, and a snapshot when no checkpoint takes their place. What a lost disk costs
// is then one interval, and the log is cut whether checkpoints go out or not. Package
// store/log/mirror tells how; here is what is the store's own:
//
//	wal/<writer>/<epoch>/...                  the records, as they stand in the log
//	snapshot/<writer>/<position>-<epoch>      for each table {"table","last","rows"}, and its rows
//
// The local directory is always preferred: of what it has nothing is read from the mirror.
//
// # A table version
//
//	tables/<table>/<number>-<op>              salvor table 1 sha256:...
//	                                          {"store","table","number","operation","epoch","parent","position","count","rows":[...]}
//	tables/<table>/<number>-<op>.part-0001    salvor table-part 1 sha256:...
//	                                          {"store","table","number","operation","part","rows":[...]}
//
// A table above 8 MiB is split: the parts are put first, the main object lists them
// with their digests and has no rows of its own. A part's name is its version's
// name and a suffix. The dot makes [manifest.ParseTableKey] refuse it, and whoever
// collects maps it back with [ParsePartKey]: a part lives and dies with its version.
//
// # A start
//
//	take the local log (flock)                 another process has it: exit
//	probe the root, once per data directory    conditional writes are not enforced: wait, nothing is published
//	register a new epoch                       what ran under this id before can publish no more
//	nothing pends that another disk made       else wait for its outcome
//	load the pinned version of each own table
//	from the mirror                            what is behind the pins and before the log's beginning
//	begin the mirror of this epoch             what an older process mirrors from now on is no history
//	replay the log                             of each table only what its pin does not cover
//	serve
//
// Recovery is not on this path. What the last process left pending is in the log,
// so nothing waits for it but the next checkpoint of its tables, until the operator
// (or, with Options.Keyring, this process) has resolved it. Only when the disk was
// lost is the pending operation all that is left of some transactions: then its
// outcome is waited for (lineage.go).
//
//	log      pins     mirror    start
//	whole    -        any       the log holds everything: serves even when the root cannot be reached
//	cut      there    any       from the pins and the log behind them; waits for the root, with backoff
//	cut      behind   there     from the pins, the mirror, and the log behind it
//	cut      behind   none      refused: positions between are nowhere (the root was restored from a copy)
//	lost     there    none      from the pins: what was acknowledged after the last checkpoint is gone
//	lost     any      there     from the newest state and the ranges behind it: what was acknowledged
//	                            after the end of the mirror is gone; a person is told where that is
//	lost     any      damaged   refused, with the name of the object; nobody else is blocked
//	whole    -        damaged   from the log; the mirror is begun anew behind the pins
//	behind   ahead    -         the log is covered; it goes on behind the pins, and needs the root at
//	                            every start until what it skipped is truncated
//	behind   -        ahead     the rest is taken from the mirror, if that was made here and fits
//	rescued  -        any       waits for the root, which has what the log may have lost when its sync failed
//	another  there    or there  refused: two histories of one writer (two disks took turns)
//
// A root that cannot be reached later costs checkpoints, never transactions.
//
// # Two processes under one id
//
// On one data directory the lock of the log keeps the second out. On two, the
// newer registration wins: the older process learns it at its next checkpoint and
// exits, and what it acknowledged meanwhile is in its own directory only: what it mirrors
// behind the position that its successor went on from counts for nobody, and it removes
// and cuts off nothing more. A
// StatefulSet does not start the second before the first is gone.
package store
