// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package mirror copies a write-ahead log into a store's root while it is written, so
// that whoever loses the disk loses no more than the last seconds, and so that the local
// log can be cut while no checkpoint goes out. It knows a log and a bucket. What a
// transaction means, and what a snapshot holds, is the embedder's.
//
//	wal/<writer>/<epoch>/begin             salvor wal-begin 1 sha256:...     which history this epoch goes on from
//	wal/<writer>/<epoch>/<first>-<last>    salvor wal-range 1 sha256:...     transactions, and the range before
//	                     ....<hex>         a part of one that is larger than 8 MiB
//	snapshot/<writer>/<position>-<epoch>   salvor wal-snapshot 1 sha256:...  the digests of its parts
//	                  ....<hex>            a part: what the embedder wrote
//
// # The life of one range
//
//	a transaction is durable in the log
//	5 s, or 4 MiB of log                              crash: it is in the log alone
//	read from the log, below its durable position     nobody who appends waits
//	wal/ledger-0/3/812-955, if absent                 crash before: in the log alone
//	      │                                           crash behind: it counts
//	      │   Created   it is there
//	      │   Exists    the same bytes: ours, of an answer that was lost
//	      │             other bytes: *TakenError, nothing more is mirrored
//	      │   Retry     the same bytes again
//	      │   Unknown   read; then the same bytes again, and nothing else before it is known
//	      ▼
//	a checkpoint covers 955, or a snapshot is at 955 or behind
//	that was read back; this epoch is the registered one
//	removed, with up to 16 MiB of others at a time    crash: the next process removes it
//
// # What the history is
//
// A process that was fenced may write on under its own epoch. Its successor says in its
// begin up to where it took over, before it acknowledges anything; what the other wrote
// behind that counts for nobody. [Decide] is the only reading of that.
//
//	epoch 3   begin(after 0)   1-400   401-811   812-955   956-990
//	epoch 5   begin(3, after 955)                        └─ 956-1200      990 of epoch 3 is another history
//
// # A restore
//
//	register a new epoch          from here on nobody who came before removes anything because of a snapshot
//	Look                          list
//	Decide, Plan                  the newest state, and the ranges behind it
//	Reader.Snapshot, Reader.Ranges
//	Start                         begin: from here on nothing that others write counts
//
// # When the log may be cut
//
// Up to [Mirror.Settled]: the newest state and every range behind it were read back, and
// the epoch was the registered one after that. Then a note in the log, then the cut.
//
// # What it costs
//
// Nothing while nothing is written: no request, whatever the interval. A writer that
// writes all the time sends a range each interval, 720 in an hour, and one more for each
// 4 MiB; a checkpoint that is faster than the interval spares them. Each range is deleted
// once, which the clouds do not charge. A start costs two listings, one put, and one read
// for each epoch since the newest state. Bytes in the root: a third more than in the log,
// until a checkpoint or a snapshot covers them; without checkpoints twice the state, and
// 64 MiB. Memory: two ranges, and one part while a snapshot is made.
package mirror
