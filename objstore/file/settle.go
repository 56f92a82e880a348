// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"
)

// clockTick is how much earlier than now the kernel may stamp a change: it takes
// the time of the last tick, 10 ms ago at most. Twice that.
const clockTick = 20 * time.Millisecond

// knownDirs bounds the memory of what is durable; beyond it we sync once more.
const knownDirs = 1 << 14

// syncDir makes the names in dir durable and notes when it began.
func (b *Bucket) syncDir(dir string) error {
	began := b.now()
	if err := b.sys.syncDir(dir); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.synced) >= knownDirs {
		clear(b.synced)
	}
	if began.After(b.synced[dir]) {
		b.synced[dir] = began
	}
	return nil
}

// settle syncs dir unless the file's name was made before the last sync of dir
// that we know of. A caller may act on what it saw only after that.
func (b *Bucket) settle(dir string, info fs.FileInfo) error {
	b.mu.Lock()
	synced, known := b.synced[dir]
	b.mu.Unlock()
	if known && changed(info).Before(synced.Add(-clockTick)) {
		return nil
	}
	return b.syncDir(dir)
}

// makeRoot makes the root, and syncs its own name when it was not there.
func (b *Bucket) makeRoot() error {
	if b.checkRoot() == nil {
		return nil
	}
	return b.makeBelow(filepath.Dir(b.root), b.root)
}

// makeBelow makes dir and its missing parents and syncs each new name.
func (b *Bucket) makeBelow(parent, dir string) error {
	err := b.sys.mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := b.makeBelow(filepath.Dir(parent), parent); err != nil {
			return err
		}
		err = b.sys.mkdir(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return b.sys.syncDir(parent)
}

// makeDir makes dir, below the root, with all its parents. Each name on the way
// is synced in its parent once per process: also one that we found, because
// whoever made it may not have got that far.
func (b *Bucket) makeDir(dir string) error {
	if dir == b.root {
		return nil // Open made it, or somebody else did: it is not ours to make again
	}
	b.mu.Lock()
	done := b.made[dir]
	b.mu.Unlock()
	if done {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := b.makeDir(parent); err != nil {
		return err
	}
	if err := b.sys.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := b.syncDir(parent); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.made) >= knownDirs {
		clear(b.made)
	}
	b.made[dir] = true
	return nil
}

// forget drops what was known of dir and the directories above it.
func (b *Bucket) forget(dir string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ; len(dir) > len(b.root); dir = filepath.Dir(dir) {
		delete(b.made, dir)
		delete(b.synced, dir)
	}
}
