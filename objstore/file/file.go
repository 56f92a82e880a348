// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// Objects are written once and never again: their files are read-only.
const (
	fileMode = 0o440
	dirMode  = 0o770
)

// lostAndFound is what mkfs puts in the root of a volume; it is not ours to read.
const lostAndFound = "lost+found"

// Options sets what a bucket takes from outside. The zero value is ready to use.
type Options struct {
	// Now is the host's clock, the one that stamps files; time.Now when nil.
	Now func() time.Time
	// MustExist refuses a root that is not there. Otherwise Open makes it, which is
	// right for a root that a person just named and wrong for a mounted volume.
	MustExist bool
	// NamedTemp forces the way without O_TMPFILE.
	NamedTemp bool
}

// Bucket is a directory of objects. Safe for concurrent use, also together with
// other processes on the same directory.
type Bucket struct {
	root string // absolute
	now  func() time.Time
	sys  system

	named atomic.Bool // no O_TMPFILE here: write under a name, then link

	mu     sync.Mutex
	made   map[string]bool      // directories whose name is durable in every parent
	synced map[string]time.Time // when the last good fsync of a directory began
}

var _ objstore.Bucket = (*Bucket)(nil)

// Open returns the bucket in the directory root.
// It fails with ErrNoSuchBucket when the root is missing and MustExist is set.
func Open(root string, o Options) (*Bucket, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open root: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Bucket{root: abs, now: o.Now, sys: realSystem, made: map[string]bool{}, synced: map[string]time.Time{}}
	b.named.Store(o.NamedTemp || !hasTmpfile)
	if o.MustExist {
		if err := b.checkRoot(); err != nil {
			return nil, err
		}
	} else if err := b.makeRoot(); err != nil {
		return nil, fmt.Errorf("make root %s: %w", abs, err)
	}
	b.sweep()
	return b, nil
}

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := objstore.CheckKey(key); err != nil {
		return objstore.Object{}, err
	}
	f, info, err := b.open(ctx, key)
	if err != nil {
		return objstore.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	defer f.Close()
	if err := objstore.CheckGet(key, info.Size()); err != nil {
		return objstore.Object{}, err
	}
	body := make([]byte, info.Size())
	if _, err := io.ReadFull(f, body); err != nil {
		return objstore.Object{}, fmt.Errorf("get %s: %w", key, err)
	}
	return objstore.Object{Key: key, Body: body, Modified: info.ModTime(), Date: b.now()}, nil
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	if err := objstore.CheckRange(key, off, n); err != nil {
		return nil, err
	}
	f, info, err := b.open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("get range %s: %w", key, err)
	}
	defer f.Close()
	off = min(off, info.Size())
	body := make([]byte, min(n, info.Size()-off))
	if _, err := io.ReadFull(io.NewSectionReader(f, off, int64(len(body))), body); err != nil {
		return nil, fmt.Errorf("get range %s: %w", key, err)
	}
	return body, nil
}

// open opens the file of an object whose name is durable.
func (b *Bucket) open(ctx context.Context, key string) (*os.File, fs.FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	name, err := b.path(key)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(name)
	if err != nil && ifThere(err) == nil {
		return nil, nil, b.absent()
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = objstore.ErrNotFound
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file", name)
	default:
		err = b.settle(filepath.Dir(name), info)
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, nil, err
	}
	return f, info, nil
}

// Delete implements objstore.Bucket. Directories that became empty stay.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := objstore.CheckKey(key); err != nil {
		return err
	}
	if err := b.remove(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

func (b *Bucket) remove(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := b.path(key)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(name); err == nil && info.IsDir() {
		return nil // no object of this name: unlinking would fail, or take an empty directory
	}
	if err := os.Remove(name); err != nil {
		if ifThere(err) != nil {
			return err
		}
		if err := b.checkRoot(); err != nil {
			return err
		}
	}
	// Absent too: another process may have removed it and not yet synced.
	return ifThere(b.syncDir(filepath.Dir(name)))
}

// Close implements objstore.Bucket. Nothing is held open between calls.
func (b *Bucket) Close() error { return nil }

// path returns the file of a key.
func (b *Bucket) path(key string) (string, error) {
	if first, _, _ := strings.Cut(key, "/"); first == lostAndFound {
		return "", fmt.Errorf("%w: %q: %s belongs to the file system", objstore.ErrInvalidKey, key, lostAndFound)
	}
	return filepath.Join(b.root, filepath.FromSlash(key)), nil
}

// absent says why a file is not there: ErrNotFound, or the root itself is gone.
func (b *Bucket) absent() error {
	if err := b.checkRoot(); err != nil {
		return err
	}
	return objstore.ErrNotFound
}

func (b *Bucket) checkRoot() error {
	info, err := os.Stat(b.root)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %s is not a directory: mount the volume, or correct the root", objstore.ErrNoSuchBucket, b.root)
	}
	return err
}
