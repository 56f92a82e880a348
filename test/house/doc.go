// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package house holds the laws of the house as tests: who may import whom, what
// the library does without, and which words the library and the resources share.
//
//	cmd ──► controllers ──► recovery, detect ──► manifest, audit ──► objstore
//	             └────────► api                                       wal, control
//	store ──► recovery, control, ...
//
// An arrow is an import. api and the library are sisters: only controllers, and
// what stands above it, know both. Each rule gives its reason, because a rule
// without one is the first to be worked around.
package house
