// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package logtest is a file system in memory that forgets or tears what was not
// synced, fails where a test says, dies in the middle of a write, and says that it
// synced what it did not. It knows what the log has to know: a file's bytes are durable
// after its Sync, and a name (made, replaced or removed) after the SyncDir of its
// directory.
//
//	fs := logtest.New()
//	fs.DieAfter(117)                     // the 118th byte is never written
//	run(fs)
//	reopen(fs.Killed())                  // kill -9: all that was written is there
//	reopen(fs.PowerLoss(rapid.IntRange)) // a power cut: what was synced is, each sector of the rest as fate picks
//	fs.Lie(always)                       // Sync does nothing, and says that it did
package logtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/salvor-io/salvor/store/log"
)

// ErrDied is what every call gets after the death.
var ErrDied = errors.New("the process has died")

// ErrShort makes a write that is to fail do half of its work and report no error.
var ErrShort = errors.New("a short write")

// Op is a kind of call that can be made to fail.
type Op string

// The calls that change something.
const (
	Write   Op = "write"
	Sync    Op = "sync"
	Create  Op = "create"
	Rename  Op = "rename"
	Remove  Op = "remove"
	SyncDir Op = "syncdir"
)

// FS is a file system in memory. Safe for concurrent use.
type FS struct {
	mu     sync.Mutex
	names  map[string]*node
	synced map[string]*node // names as of the last SyncDir
	// changes to names since then, oldest first: a power cut keeps a prefix.
	changes []change
	locked  map[string]bool
	counts  map[Op]int
	faults  map[Op]map[int]error
	hold    *Hold
	lies    func() bool
	budget  int // bytes until the death; negative: none
	size    int // of the disk, in bytes; zero: there is no end of it
	dead    bool
}

var _ log.FS = (*FS)(nil)

type change struct {
	path string
	to   *node // nil: removed
}

// New returns an empty file system.
func New() *FS {
	return &FS{
		names: map[string]*node{}, synced: map[string]*node{}, locked: map[string]bool{},
		counts: map[Op]int{}, faults: map[Op]map[int]error{}, budget: -1,
	}
}

// Fail makes the n-th call of op, from 1, fail with err. A write that fails
// leaves half of its bytes.
func (f *FS) Fail(op Op, n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.faults[op] == nil {
		f.faults[op] = map[int]error{}
	}
	f.faults[op][n] = err
}

// Lie asks lies for every Sync of a file that does not fail: true, and what was written
// is never on the disk, and the Sync says that it is.
func (f *FS) Lie(lies func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lies = lies
}

// Count returns how many calls of op there were.
func (f *FS) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

// Hold keeps every Sync waiting.
type Hold struct {
	// Arrived is closed when the first one waits.
	Arrived <-chan struct{}
	// Release lets them go on.
	Release func()

	once     sync.Once
	arrived  chan struct{}
	released chan struct{}
}

// HoldSync makes every Sync of a log wait until the hold is released.
func (f *FS) HoldSync() *Hold {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := &Hold{arrived: make(chan struct{}), released: make(chan struct{})}
	h.Arrived = h.arrived
	h.Release = sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.hold = nil
		close(h.released)
	})
	f.hold = h
	return h
}

// DieAfter kills the process when n more bytes were written, in the middle of
// the write.
func (f *FS) DieAfter(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.budget = n
}

// Die kills the process now.
func (f *FS) Die() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
}

// Killed returns what the next process finds after kill -9: everything written.
func (f *FS) Killed() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := New()
	for path, file := range f.names {
		n.names[path] = file.clone()
	}
	n.synced = clone(f.synced, f.names, n.names)
	n.size = f.size
	return n
}

// Resize makes the disk one of size bytes: what does not fit fails with ENOSPC, and
// leaves what did. Zero: there is no end of it.
func (f *FS) Resize(size int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = size
}

// Used is how many bytes the files have.
func (f *FS) Used() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used()
}

func (f *FS) used() (n int) {
	for _, file := range f.names {
		n += len(file.data)
	}
	return n
}

// Space implements log.FS. A disk without an end says nothing.
func (f *FS) Space(string) (log.Space, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.dead:
		return log.Space{}, ErrDied
	case f.size == 0:
		return log.Space{}, errors.ErrUnsupported
	}
	return log.Space{Total: int64(f.size), Free: int64(max(0, f.size-f.used()))}, nil
}

func clone(names, from, to map[string]*node) map[string]*node {
	out := map[string]*node{}
	for path, file := range names {
		if from[path] == file {
			out[path] = to[path]
		} else {
			out[path] = file.clone()
		}
	}
	return out
}

// PowerLoss returns what the next process finds after a power cut. pick chooses
// a number from 0 to n for everything that the disk was free to choose: how many
// of the unsynced names are there, how long a file is that has grown, and how much of
// each unsynced sector is new.
func (f *FS) PowerLoss(pick func(n int) int) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := map[string]*node{}
	for path, file := range f.synced {
		names[path] = file
	}
	for _, c := range f.changes[:pick(len(f.changes))] {
		if c.to == nil {
			delete(names, c.path)
		} else {
			names[c.path] = c.to
		}
	}
	n := New()
	for _, path := range sorted(names) {
		data := names[path].afterPowerLoss(pick)
		n.names[path] = &node{data: data, disk: bytes.Clone(data)}
		n.synced[path] = n.names[path]
	}
	return n
}

func sorted(m map[string]*node) []string {
	var out []string
	for path := range m {
		out = append(out, path)
	}
	slices.Sort(out)
	return out
}

// Files returns the paths of all files, in order.
func (f *FS) Files() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sorted(f.names)
}

// Bytes returns a file's content.
func (f *FS) Bytes(path string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return bytes.Clone(f.names[path].data)
}

// Put makes a file with this content, durable.
func (f *FS) Put(path string, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names[path] = &node{data: bytes.Clone(data), disk: bytes.Clone(data)}
	f.synced[path] = f.names[path]
}

// begin counts the call and says whether it fails. Under mu.
func (f *FS) begin(op Op, path string) error {
	if f.dead {
		return ErrDied
	}
	f.counts[op]++
	if err := f.faults[op][f.counts[op]]; err != nil {
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
	return nil
}

// MkdirAll implements log.FS. Directories are not modelled.
func (f *FS) MkdirAll(string) error { return nil }

// ReadDir implements log.FS.
func (f *FS) ReadDir(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return nil, ErrDied
	}
	var out []string
	for _, path := range sorted(f.names) {
		if filepath.Dir(path) == filepath.Clean(dir) {
			out = append(out, filepath.Base(path))
		}
	}
	return out, nil
}

// Open implements log.FS.
func (f *FS) Open(path string) (io.ReadCloser, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file := f.names[path]
	switch {
	case f.dead:
		return nil, 0, ErrDied
	case file == nil:
		return nil, 0, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return &opened{fs: f, node: file}, int64(len(file.data)), nil
}

// Create implements log.FS.
func (f *FS) Create(path string) (log.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Create, path); err != nil {
		return nil, err
	}
	file := &node{}
	f.name(path, file)
	return &handle{fs: f, path: path, node: file}, nil
}

// OpenBlocks implements log.FS. What is written is on the disk after Sync, whether it
// was opened for writes through or not.
func (f *FS) OpenBlocks(path string, _ bool) (log.Blocks, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Create, path); err != nil {
		return nil, err
	}
	if f.names[path] == nil {
		f.name(path, &node{})
	}
	return &handle{fs: f, path: path, node: f.names[path]}, nil
}

func (f *FS) name(path string, to *node) {
	if to == nil {
		delete(f.names, path)
	} else {
		f.names[path] = to
	}
	f.changes = append(f.changes, change{path, to})
}

// Rename implements log.FS.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Rename, from); err != nil {
		return err
	}
	file := f.names[from]
	if file == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	// One change of the directory: a power cut sees both names or neither.
	delete(f.names, from)
	f.names[to] = file
	f.changes = append(f.changes, change{to, file}, change{from, nil})
	return nil
}

// Remove implements log.FS.
func (f *FS) Remove(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(Remove, path); err != nil {
		return err
	}
	if f.names[path] == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	f.name(path, nil)
	return nil
}

// SyncDir implements log.FS. It makes all names durable, whatever their directory.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(SyncDir, dir); err != nil {
		return err
	}
	f.synced, f.changes = map[string]*node{}, nil
	for path, file := range f.names {
		f.synced[path] = file
	}
	return nil
}

// Lock implements log.FS.
func (f *FS) Lock(path string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.dead:
		return nil, ErrDied
	case f.locked[path]:
		return nil, fmt.Errorf("%w: %s", log.ErrLocked, path)
	}
	f.locked[path] = true
	return unlock(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.locked, path)
	}), nil
}

type unlock func()

func (u unlock) Close() error { u(); return nil }
