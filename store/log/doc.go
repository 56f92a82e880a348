// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package log is the write-ahead log: transactions with positions 1, 2, 3, ..., each
// either acknowledged and there after any crash, or not there at all.
//
//	dir/LOCK                          flock: one owner
//	dir/00000000000000000001.log      sealed
//	dir/00000000000000000412.log      active: the last one
//	dir/00000000000000000007.spare    a file for a coming segment; what it holds means nothing
//
//	segment   "salvorL2" | log id 16 | first 8 | follows 8 | incarnation 8 | checkpoint 8 | block 4 | crc32c 4
//	          zeros to the end of the block, then flushes, each from the start of a block:
//	flush     frame | frame | ... | zeros to the end of the block
//	frame     crc32c 4 | length 4 | kind 1 | event 3 | position 8 | durable 8 | body length
//
// Numbers are little-endian. The kinds are 1 a transaction of one event, 2 the first, 3 a
// middle and 4 the last of several events, 5 a checkpoint; the last frame of a flush has
// 128 added. A frame's checksum covers all of it and the checksum of the segment's
// header, so that what an earlier use of the file has left never fits. The length is
// checked against [MaxRecord] before anything is allocated. No head stands across the end
// of a block, and no transaction spans two segments. Format 1 is read, too: format_v1.go.
//
// # The life of one transaction
//
//	Append        it gets the next position and joins the batch    crash: not there
//	  flusher     takes the batch; rotates if the segment is full
//	              write                                            crash: there or not, nobody was told
//	              fsync                                            crash: there
//	              apply, in the order of positions                 now readers may see it
//	              Ticket.Done                                      now the client is told
//
// One flusher, many waiters: while one batch is synced, the next one collects. Who is alone
// does the flusher's work himself (write.go). This is
// [SyncCommit]. With [SyncInterval] and [SyncNone] the client is told after the write, and
// the sync comes later; then the column says "there" after the write, but for a power cut:
//
//	                 death of the process     power cut
//	SyncCommit       nothing                  nothing
//	SyncInterval     nothing                  what was told within one Interval
//	SyncNone         nothing                  what was told since Sync, or since the segment began
//
// The durable position moves only when a sync has succeeded, whatever the mode.
//
// # What a bad frame means
//
// A frame names the position that was durable when it was written. Behind a bad
// frame at position p we look on:
//
//	active segment, no later frame says durable >= p   torn tail: nobody was told that it is durable; cut off
//	active segment, a later frame says durable >= p    corruption of something durable: refused
//	sealed segment                                     corruption: refused
//
// A whole frame that is out of place (see [Damage]) is refused wherever it stands: what a
// disk loses of a flush never leaves one. One case cannot be told apart: damage in the
// very last flush, or a file whose end is cut off, looks like a torn tail.
//
// # What the disk is trusted for
//
// A file is durable after fsync, a name after fsync of its directory, and rename is
// atomic. A block that was synced is not harmed by a write beside it: no flush ever
// writes into one. A segment gets its name when its header is durable, so a crash in
// between leaves a spare, or a file that Open deletes, and never half of a segment; and it
// is sealed by its successor's header, so there is nothing between sealing and creating.
//
// After a failed write or fsync nothing is trusted any more: the log is poisoned, with the
// first reason, for good; the call is not repeated, since a second fsync may report
// success for pages that the kernel has dropped, and Close syncs nothing. Only Recover
// clears it: it copies the last segment into a new file and syncs that, so that what it
// reads from the page cache is on the disk before anybody acts on it.
//
// On Linux the commits of SyncCommit go past the page cache (O_DIRECT and O_DSYNC), into
// files that were written before: a commit is one request to the disk and changes nothing
// else in the file system.
//
// # Checkpoints
//
// What a checkpoint elsewhere covers need not be kept:
//
//	the checkpoint can be read ── Checkpoint(p) ── Truncate(p)
//
// Checkpoint leaves a note, so that whoever opens the log and finds an older checkpoint
// than that ([Log.Checkpointed]) knows that it was given an older copy. Truncate keeps the
// active segment and the one before it; when it fails, more is kept than necessary.
//
// # Reading while it runs
//
// A [Cursor] reads from any position on what is durable, from the files, and holds nobody
// up: a mirror, for example (package mirror), or a feed of changes. What is truncated
// meanwhile is a [TruncatedError]. [Log.Unbroken] is the position from which on nothing is
// missing.
//
// # What it costs
//
// A batch is padded to 4 KiB, so a writer that is alone uses 4 KiB of log for each commit,
// until a checkpoint. Memory: two buffers of MaxPending at most and one transaction; while
// it is read, one MiB and the largest transaction that is met.
package log
