// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package commitlog is a small table format with readers of its own, and what
// recovery needs to undo what they see. It is the form in which lakehouse formats
// keep a table, without their content: a numbered log of commits.
//
//	commits/<table>/00000000000000000007     {"operation":"01J…","content":…}
//	commits/<table>/00000000000000000008     put if absent: one commit takes a number
//	                └ readers follow the highest number, whether a manifest names it or not
//
// A writer commits above the version that it has read; who comes second finds the
// number taken. A commit carries the id of the operation that made it, so that whose
// it is never depends on a number.
//
// # The life of an operation whose writer dies
//
//	number   7          8            9
//	         pinned     01J-OP       BACK
//	         │          │            └ recovery: the content of 7 again, under the
//	         │          │              identity that the sidecar had minted for it
//	         │          └ seen by readers; never confirmed, so it may not stay
//	         └ the manifest names it, before and (as content) after
//
// Where the operation had not committed yet, recovery takes its number: a late
// commit finds it taken.
package commitlog
