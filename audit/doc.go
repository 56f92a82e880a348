// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package audit keeps the trail of how operations ended: numbered objects of
// hash-chained, signed rows, one row per operation and outcome. Whatever crashes,
// races or is delivered twice, the second row is not written.
//
// # A chain
//
//	audit/main/00…01            audit/main/00…02                          audit/main/00…03
//	+-----------------------+   +-----------------------+-------------+   +-----------------+
//	| row 1                 |   | row 2                 | row 3       |   | row 4           |
//	| RolledForward 01JXA   |   | RolledBack 01JXB      | ...         |   | ...             |
//	| previous  ""       <--+---+- previous  H(row 1) <-+- previous <-+---+- previous       |
//	| hash, MAC by key k1   |   | hash, MAC by key k1   | k1          |   | k2 (rotated)    |
//	+-----------------------+   +-----------------------+-------------+   +-----------------+
//	                                                                       ^
//	         Head{Number: 3, Hash: H(row 4)}, carried by every publication of the manifest
//
// The hash of a row covers all of it, the hash of the row before, the id of the
// key, and the place: chain, object, number of the row. The MAC covers the hash.
// See [Row.Canonical].
//
// # Appending
//
// Appending is creating the next number, which one process can do. So there is
// no lock, and looking for an earlier row of the operation is not a race: who
// loses the number reads what took it and looks again.
//
//	search   the objects after the head that the operation's publication carried
//	create   the next number, if absent; a lost answer is read, not guessed
//	read     the row back: what it is evidence for may now be deleted
//
//	crash ...                      the bucket holds      the next AppendOnce
//	before the create              no row                writes it
//	in the create, or after        the row, or not yet   finds it, or takes the number:
//	                                                     a late request then finds it taken
//	after the read                 the row               finds it
//
// A log remembers the objects it has read, which never change, so appending costs
// two requests, and after a restart two more; neither grows with history.
//
// # What a good chain proves
//
// With the keys: that every row up to the newest was written by a holder of its
// key and not changed, dropped, moved, doubled or inserted since. With a head
// from elsewhere (a later publication, a status kept in another place): that
// nothing was cut off behind that row, and that the row is the one remembered.
//
// # What it cannot prove
//
//   - That no tail was cut, without such a head. Rows newer than every head in
//     VerifyOptions.Expect are reported as unanchored, not as good.
//   - That a holder of a key did not rewrite everything newer than the oldest head
//     that somebody else kept: an HMAC convinces only who trusts all its holders.
//   - That a row tells the truth, or that its time is right: it is what the process
//     copied from the manifest, dated by its own clock. The order is proved.
//   - That a removed key did not sign: its rows are Unverifiable, and the chain Bad.
//
// # Bytes
//
// Format 1 of the object and of the row stand in object.go and canonical.go.
// Both carry their format, and a newer one is refused with a sentence. Beside the
// numbered objects, segments/ and checkpoints/ under the chain's name are
// reserved; whatever else stands there is no part of the chain.
package audit
