// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package log

import (
	"fmt"
	"syscall"
)

// Space implements FS.
func (osFS) Space(dir string) (Space, error) {
	var st syscall.Statfs_t
	for {
		err := syscall.Statfs(dir, &st)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return Space{}, fmt.Errorf("statfs %s: %w", dir, err)
		}
		return Space{Total: int64(st.Blocks) * int64(st.Bsize), Free: int64(st.Bavail) * int64(st.Bsize)}, nil
	}
}
