// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package freeze does what package maintenance decides: it reads the manifests of
// the stores of a freeze, asks for the next step of each, and publishes it.
//
//	the resource is read ─▶ Pass ─▶ look: manifest, then writers ─▶ Decide ─▶ Remember ─▶ look ─▶ ... ─▶ step ─▶ look ─▶ rests
//	        ▲                                                          │
//	        └──────────── Again: this process has just registered ◀────┘
//
// Who dies in between leaves nothing behind that its successor does not find: what
// may have been done is written down before it is done (Party.Remember), and the lock is
// looked for in the manifest behind that version. Who slept is refused: every step is
// published under the epoch of an operator, which ends when the next one registers, and
// nothing that was read before the own registration is acted on.
package freeze
