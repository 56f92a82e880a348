// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package conformance tells an author of a store, in any language, whether it
// keeps the protocol of docs/protocol.md: of a root that the store has written, and
// of the store itself while it is killed, fenced and lied to.
//
// # The life of one case
//
//	conformance                     writer (any program)            root (any bucket)
//	  empty root, S3 on loopback
//	  start    ──────────────────▶  SALVOR_ROOT=s3://root?endpoint=…
//	           ◀──────────────────  ready
//	  commit {"a":…}  ───────────▶  arm, apply, confirm, publish ─▶ watched, request by request
//	           ◀──────────────────  ok 01J…
//	  commit {"a":…,"b":…}  ─────▶  arm, apply, …  ──▶ ✗ the 4th write: SIGKILL before it,
//	                                                     or after it, or its answer is lost,
//	                                                     or refused; or fenced in front of it
//	  recover what is left
//	  start again, read, commit ─▶  reads what the manifest names
//	  check    the root at rest, each acknowledged commit, no commit twice
//
// The clean case shows which writes a commit makes; then there is a case for every
// one of them and every fault.
//
// # Rules
//
// A breach is a [Violation] of a [Rule], which names the section of the page and
// what it asks for. The watch sees order, which a root at rest no longer shows:
// that a sidecar was there before its effects, that nothing was overwritten, that
// the writer looked again after Arm. What it cannot see is what the writer does with
// its own clients beyond these lines.
package conformance
