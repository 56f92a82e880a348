// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"sync"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// image is what a dying machine leaves of its disk.
type image struct {
	name string
	of   func(*logtest.FS) *logtest.FS
}

// images: the process was killed, and the kernel wrote what it had; the power was
// cut, and nothing that was not synced is there, or half of it, or all.
var images = []image{
	{"killed", (*logtest.FS).Killed},
	{"power-cut", func(f *logtest.FS) *logtest.FS { return f.PowerLoss(func(int) int { return 0 }) }},
	{"power-cut, half written", func(f *logtest.FS) *logtest.FS { return f.PowerLoss(func(n int) int { return n / 2 }) }},
	{"power-cut, all written", func(f *logtest.FS) *logtest.FS { return f.PowerLoss(func(n int) int { return n }) }},
}

// disk is a file system on which the n-th durable operation is the last.
type disk struct {
	*logtest.FS
	p   *Process
	die func()

	mu    sync.Mutex
	n     int
	point Point // of this disk
	fired bool
}

func (d *disk) op(do func(half bool) error) error {
	d.mu.Lock()
	d.n++
	m := Moment(0)
	if d.n == d.point.Write {
		m, d.fired = d.point.Moment, true
	}
	d.mu.Unlock()
	if m == 0 {
		return do(false)
	}
	var err error
	if m != Before {
		err = do(m == Torn)
	}
	d.die()
	if err == nil {
		err = ErrDead
	}
	return err
}

// seen is how many writes there were, and whether the point was among them. The
// log's flusher may still be at work.
func (d *disk) seen() (writes int, fired bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n, d.fired
}

// Create implements log.FS.
func (d *disk) Create(path string) (f log.File, err error) {
	err = d.op(func(bool) error { f, err = d.FS.Create(path); return err })
	return &diskFile{f, d}, err
}

// OpenBlocks implements log.FS.
func (d *disk) OpenBlocks(path string, through bool) (f log.Blocks, err error) {
	err = d.op(func(bool) error { f, err = d.FS.OpenBlocks(path, through); return err })
	return &diskBlocks{f, d}, err
}

// Rename implements log.FS.
func (d *disk) Rename(from, to string) error {
	return d.op(func(bool) error { return d.FS.Rename(from, to) })
}

// Remove implements log.FS.
func (d *disk) Remove(path string) error {
	return d.op(func(bool) error { return d.FS.Remove(path) })
}

// SyncDir implements log.FS.
func (d *disk) SyncDir(dir string) error {
	return d.op(func(bool) error { return d.FS.SyncDir(dir) })
}

type diskFile struct {
	log.File
	d *disk
}

func (f *diskFile) Write(b []byte) (n int, err error) {
	err = f.d.op(func(half bool) error {
		if half {
			b = b[:len(b)/2]
		}
		n, err = f.File.Write(b)
		return err
	})
	return n, err
}

func (f *diskFile) Sync() error { return f.d.op(func(bool) error { return f.File.Sync() }) }

func (f *diskFile) Close() error {
	if f.File == nil {
		return nil
	}
	return f.File.Close()
}

type diskBlocks struct {
	log.Blocks
	d *disk
}

func (f *diskBlocks) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.d.op(func(half bool) error {
		if half {
			b = b[:len(b)/2]
		}
		n, err = f.Blocks.WriteAt(b, off)
		return err
	})
	return n, err
}

func (f *diskBlocks) Sync() error { return f.d.op(func(bool) error { return f.Blocks.Sync() }) }

func (f *diskBlocks) Close() error {
	if f.Blocks == nil {
		return nil
	}
	return f.Blocks.Close()
}
