// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package audit keeps the trail of what was recovered: numbered objects of
// hash-chained, signed rows, one row per operation and outcome.
package audit
