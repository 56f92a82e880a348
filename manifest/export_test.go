// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

// Knowing returns o for a process that knows formats up to n: an older or a newer
// release than this one.
func (o Options) Knowing(n int) Options { o.formats = n; return o }
