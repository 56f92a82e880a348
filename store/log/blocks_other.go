// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package log

import "os"

// OpenBlocks implements FS.
func (osFS) OpenBlocks(path string, _ bool) (Blocks, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o640)
}
