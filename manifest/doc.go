// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifest keeps what a store *is*: a numbered line of publications in
// object storage, each created once. There is no lock server and no pointer:
// publishing version 42 is creating the object 42 with "only if absent", and a
// conflict is that the number exists.
//
// # The life of one publication
//
//	writer orders-0, epoch 3(P7)           recovery, process R1
//	        |                                      |
//	   Admit against 41                       Admit against 41
//	   decided? epoch? pins?                  decided? epoch ended? pins?
//	        |                                      |
//	   put manifest/…42 if absent             put manifest/…42 if absent
//	        |                                      |
//	     Created                                 Exists: read 42
//	        |                                      |
//	   boundary above 42? no: done            Admit against 42 -> *DecidedError:
//	                                          orders-0 published it: converge
//
// A lost answer is resolved by reading the number (objstore.Settle). What stays
// unknown is reported as unknown and cleaned up by nobody.
//
// # What is in a publication
//
//	manifest/00000000000000000042
//	  store    uid of the root          parent   digest of publication 41
//	  attempt  of this very put         by       writer and epoch, or recovery
//	  head     newest audit row that the publisher knew
//	  entries  register | fence | publish | abandon | claim | adopt | announce | trim
//	           lock | extend | release | expire | anchor | format
//
// [Apply] is the only reading of an entry: pure, total, and the first outcome of
// an operation wins for every reader. [Admit] is the only gate for writing one.
//
// # Fences
//
// An epoch is a number and the process that registered it; both are compared. A
// fence names the epoch that it ends, so one that comes late cannot hit the
// successor. A fence is a publication like any other: whoever publishes next has
// read it, or loses the number and reads it then.
//
// # Reading
//
// [Store.Latest] asks for the next number until there is none: one request when
// nothing happened. A cold reader begins at the newest full state under
// checkpoint/, written every 64 publications (in parts/ when it is larger than one
// object), and so does one that is far behind: what it costs does not grow with
// history.
//
// The outcomes of recent operations stay in the state. The list says from which
// version on it is complete (LowWater): below it, absence proves nothing.
package manifest
