// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package recovery finishes what a dead writer began, or closes it, exactly once
// and with a record. It holds both sides of the protocol.
//
// # The life of one operation
//
//	   writer                                     object
//	1  Arm      tables, pins, planned versions    recovery/01J…             put if absent
//	2  Apply    every table's new version         tables/<t>/<n>-01J…       put if absent
//	3  Confirm  the versions reached              recovery/01J….confirmed   put if absent
//	4  Publish  all tables, in one step           manifest/…42              put if absent
//	5  Delete   .confirmed, then the sidecar
//
// A crash anywhere leaves the sidecar: it is the only to-do list and goes last.
//
//	recoverer: Recover(key, authority)
//	get the sidecar       gone? its owner finished: delete what is left beside it
//	observe               confirmation, manifest, then tables
//	Classify, Decide      pure
//	publish the outcome   with the fence of the operation's epoch, one object
//	audit                 the row copies the entry, once per operation
//	delete                .confirmed, then the sidecar
//
// # What a crash leaves, and what becomes of it
//
//	crashed after     found                                      decision
//	Arm               no version                                 Abandon
//	part of Apply     some versions                              Abandon
//	all of Apply      all versions, no confirmation              Abandon; a load or rebuild: RollForward
//	Confirm           all versions, confirmed, pins as expected  RollForward
//	Confirm           another operation moved a pin              Abandon
//	Publish           an entry names the operation               Converge
//	audit             the same, and a row                        Converge (the row is found)
//	-                 confirmed, and a version gone or altered   Refuse
//	-                 foreign store, newer format, damaged       Refuse
//	-                 older than what the manifest remembers     Discard
//	-                 readers can see what was applied           RollBack: needs approval
//	-                 the writer is alive                        Defer
//
// What no reader can see needs no undo: Abandon publishes that the operation will
// never be visible, and its versions are orphans. [RollForwardOnly] is all the
// authority that code has which acts by itself.
//
// # What readers can see
//
// Tables of a [Format] whose readers follow their head show an operation before the
// manifest names it. It is undone by whoever has an [Exclusive] authority, with a
// [Permit] that is made of the recoverer's epoch, the end of the writer's, the write
// lock, leadership, and the approved plan, and asked again before each step:
//
//	plan        what would be restored, and its hash    writes nothing: a report, for approval
//	fence, lock                                         manifest/…43    one publication
//	look again  under the lock; the plan is stored      recovery/01J….plan
//	decide      from here on nobody can publish it      manifest/…44    rollback
//	restore     each table: a version with the old content above what is to be undone
//	end         the restored pins                       manifest/…45    restore
//	audit, release the lock, delete
//
// # Wrong guesses
//
// Whoever decides for a writer ends its epoch in the same publication. A writer
// that was alive after all gets manifest.ErrFenced or finds the entry, waits for
// the outcome of its operation, tells its client just that, registers again and
// goes on. It never issues the operation again under the same id.
//
// "Arm" here is the durable intent in object storage. The write-ahead log of a
// store has an arm of its own, a unit of work in memory: another thing.
package recovery
