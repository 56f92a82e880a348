// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"os"
	"syscall"
)

// OpenBlocks implements FS. Writes that are to be durable at once go past the page
// cache, each with its own barrier: one call instead of two, and nothing is left
// behind that a later fsync could report as good. A file system that has no such
// writes gets the two calls.
func (osFS) OpenBlocks(path string, through bool) (Blocks, error) {
	const flags = os.O_CREATE | os.O_WRONLY
	if through {
		f, err := os.OpenFile(path, flags|syscall.O_DIRECT|syscall.O_DSYNC, 0o640)
		if err == nil {
			return &osBlocks{f, true}, nil
		}
		if !errors.Is(err, syscall.EINVAL) {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, flags, 0o640)
	if err != nil {
		return nil, err
	}
	return &osBlocks{f, false}, nil
}

type osBlocks struct {
	*os.File
	// through: what was written is durable.
	through bool
}

// WriteAt goes through the page cache from the first write on that the file system
// does not take past it: such a write has done nothing yet. It is still durable when
// it returns.
func (b *osBlocks) WriteAt(p []byte, off int64) (int, error) {
	n, err := b.File.WriteAt(p, off)
	if !b.through || n > 0 || !errors.Is(err, syscall.EINVAL) {
		return n, err
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, b.Fd(), syscall.F_SETFL, 0); errno != 0 {
		return 0, err
	}
	return b.File.WriteAt(p, off)
}

func (b *osBlocks) Sync() error {
	if b.through {
		return nil
	}
	for {
		err := syscall.Fdatasync(int(b.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
