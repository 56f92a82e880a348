// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

const hasTmpfile = true

// linkUnnamed writes body to a file without a name in the directory of name and
// then names it. A crash leaves nothing: the kernel frees what has no name.
func (b *Bucket) linkUnnamed(ctx context.Context, name string, body []byte) (err error) {
	dir := filepath.Dir(name)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, fileMode)
	switch {
	case err == nil:
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return errNoTmpfile
	default:
		return &os.PathError{Op: "open O_TMPFILE", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if err := b.sys.write(f, body); err != nil {
		return err
	}
	if err := b.sys.syncFile(f); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.sys.linkUnnamed(f, name)
}

// linkFD names the file behind f. Kernels before 6.10 give AT_EMPTY_PATH only to
// a process with CAP_DAC_READ_SEARCH, and say ENOENT; /proc is the way for others.
func linkFD(f *os.File, name string) error {
	err := linkEmptyPath(f, name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		err = linkProc(f, name)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.ENOENT) {
		if _, statErr := os.Stat(filepath.Dir(name)); statErr == nil {
			return errNoTmpfile // the directory is there: it is /proc that is not
		}
	}
	return linkError(&os.LinkError{Op: "linkat", Old: "O_TMPFILE", New: name, Err: err})
}

func linkEmptyPath(f *os.File, name string) error {
	return unix.Linkat(int(f.Fd()), "", unix.AT_FDCWD, name, unix.AT_EMPTY_PATH)
}

func linkProc(f *os.File, name string) error {
	proc := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	return unix.Linkat(unix.AT_FDCWD, proc, unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}
