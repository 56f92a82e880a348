// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

// Space is what a file system has, in bytes.
type Space struct {
	// Total is its size. Free is what this process may still write; what is kept for
	// others is neither free nor used by anybody.
	Total, Free int64
}
