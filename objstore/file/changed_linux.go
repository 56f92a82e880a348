// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"io/fs"
	"syscall"
	"time"
)

// changed returns when the file last got a name, or anything else of its inode
// changed (ctime); the body may have been written long before.
func changed(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return info.ModTime()
}
