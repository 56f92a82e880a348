// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package log is the reference store's local log: records with positions 1, 2,
// 3, ..., each either acknowledged and there after any crash, or not there at
// all. It is simple on purpose.
//
//	dir/LOCK                          flock: one owner
//	dir/00000000000000000001.log      sealed
//	dir/00000000000000000412.log      active: the last one
//
//	segment   "salvorL1" | log id 16 | first 8 | follows 8 | crc32c 4      44 bytes
//	frame     length 4 | crc32c 4 | position 8 | durable 8 | body length
//
// Numbers are little-endian. A frame's checksum covers its length, both positions
// and its body, so no byte of a file is outside of one. The length is checked
// against [MaxRecord] before anything is allocated. A record is one frame and
// never spans two segments.
//
// # The life of one record
//
//	Append        it gets the next position and joins the batch    crash: not there
//	  flusher     takes the batch; rotates if the segment is full
//	              write                                            crash: there or not, nobody was told
//	              fsync                                            crash: there
//	              apply, in the order of positions                 now readers may see it
//	              Ticket.Done                                      now the client is told
//
// One flusher, many waiters: while one batch is synced, the next one collects.
//
// # What a bad frame means
//
// A frame names the position that was durable when it was written. Behind a bad
// frame at position p we look on:
//
//	active segment, no later frame says durable >= p   torn tail: nobody was told; cut off
//	active segment, a later frame says durable >= p    corruption of an acknowledged record: refused
//	sealed segment                                     corruption: refused
//
// One case cannot be told apart: damage in the very last batch, or a file whose
// end is cut off, looks like a torn tail.
//
// # What the disk is trusted for
//
// A file is durable after fsync, a name after fsync of its directory, and rename
// is atomic. After a failed write or fsync nothing is trusted any more: the log is
// poisoned, for good; the call is not repeated, since a second fsync may report
// success for pages that the kernel has dropped. Only Recover clears it: it copies
// the last segment into a new file and syncs that, so that what it reads from the
// page cache is on the disk before anybody acts on it.
package log
