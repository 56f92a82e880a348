// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledger says which rows of the contract are met, and why not.
//
//	.cache/contract/results/*.jsonl   what tests recorded on this machine   ┐
//	.cache/contract/teeth.jsonl       what became of mutants here           ├─► Judge ─► report
//	docs/proof.json                   both, of the last "make prove"        ┘
//
// A row is met when, of this very code,
//   - at least one test that names it passed, in full where its tier asks for it,
//   - none that names it failed or did not finish, and
//   - at least one mutant that names it was caught by one of its tests.
//
// "Of this very code" is a content hash (package tree, Mutant.Hash). A result
// with another hash is stale: it is shown, and proves nothing. Only docs/proof.json
// is committed, so a fresh clone shows what the last "make prove" proved, as far as
// the code has not changed since.
package ledger
