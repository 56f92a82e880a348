// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// FS is what the log needs of a file system: the seam for faults in tests.
type FS interface {
	// MkdirAll makes dir and its parents.
	MkdirAll(dir string) error
	// ReadDir returns the names in dir, in order.
	ReadDir(dir string) ([]string, error)
	// Open opens a file for reading and tells its size.
	Open(path string) (io.ReadCloser, int64, error)
	// Create makes or empties a file for writing.
	Create(path string) (File, error)
	// OpenBlocks opens a file for writes of whole blocks, or makes it. through says that
	// Sync follows every write: the file system may then do both in one.
	OpenBlocks(path string, through bool) (Blocks, error)
	// Rename gives a file a new name; a file of that name is replaced, atomically.
	Rename(from, to string) error
	// Remove deletes a file.
	Remove(path string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Space tells what the file system of dir has; errors.ErrUnsupported where nobody can
	// tell.
	Space(dir string) (Space, error)
	// Lock takes the file for this process until Close; ErrLocked when it is taken.
	Lock(path string) (io.Closer, error)
}

// File is a file that is written from its start to its end.
type File interface {
	io.Writer
	// Sync makes everything written durable.
	Sync() error
	Close() error
}

// Blocks is a file that is written in whole blocks, from memory that [AlignedBytes]
// has made. A write behind its end makes it longer. WriteAt and Sync may run at the
// same time.
type Blocks interface {
	io.WriterAt
	// Sync makes everything durable that was written before it was called.
	Sync() error
	Close() error
}

// OS is the operating system's file system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o750) }

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (osFS) Open(path string) (io.ReadCloser, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

func (osFS) Create(path string) (File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(path string) error { return os.Remove(path) }

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osFS) Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return f, nil // the kernel lets go of it when the file is closed, by death too
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = fmt.Errorf("%w: %s", ErrLocked, path)
	default:
		err = fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, errors.Join(err, f.Close())
}
