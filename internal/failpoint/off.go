// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !failpoint

package failpoint

// Enabled reports whether this build can be parked.
const Enabled = false

// Here does nothing in this build.
func Here(Point) {}
