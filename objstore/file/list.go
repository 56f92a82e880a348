// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/salvor-io/salvor/objstore"
)

// List implements objstore.Bucket.
//
// Directories that hold nothing between prefix and after are not opened, and
// only entries that are yielded are stat'ed. The order is that of the keys:
//
//	names on disk   a/  a.b  a0      sorted as   a.b < a/... < a0
//
// because '.' < '/' < '0': a directory sorts as its name with the slash.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		w := walk{b: b, ctx: ctx, prefix: prefix, after: after, yield: yield}
		dir := prefix[:strings.LastIndexByte(prefix, '/')+1]
		err := b.checkRoot()
		if err == nil && (dir == "" || objstore.CheckKey(dir[:len(dir)-1]) == nil) {
			_, err = w.dir(dir)
		}
		if err != nil {
			yield(objstore.Entry{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

type walk struct {
	b             *Bucket
	ctx           context.Context
	prefix, after string
	yield         func(objstore.Entry, error) bool
}

// dir yields the objects below dir, which is "" or ends in a slash. It returns
// false when the consumer had enough.
func (w *walk) dir(dir string) (bool, error) {
	path := filepath.Join(w.b.root, filepath.FromSlash(dir))
	names, err := w.names(dir, path)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if err := w.ctx.Err(); err != nil {
			return false, err
		}
		key := dir + name
		var more bool
		if strings.HasSuffix(name, "/") {
			more, err = w.dir(key)
		} else {
			more, err = w.object(path, name, key)
		}
		if err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// names returns the names in dir that can lead to a key of the listing, in the
// order of the keys; directories end in a slash. A directory that is not there
// holds nothing.
func (w *walk) names(dir, path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, ifThere(err)
	}
	entries, err := f.ReadDir(-1)
	_ = f.Close() // it was only read
	if err != nil {
		return nil, ifThere(err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() {
			if dir == "" && name == lostAndFound {
				continue
			}
			name += "/"
		} else if e.Type() != 0 {
			continue // no regular file, so no object
		}
		if w.wants(dir + name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// ifThere returns err unless it says that there is no such directory.
func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// wants reports whether key, or for a directory a key below it, is in the listing.
func (w *walk) wants(key string) bool {
	if objstore.CheckKey(strings.TrimSuffix(key, "/")) != nil {
		return false // not ours: tmpDir, or put there by somebody else
	}
	if strings.HasSuffix(key, "/") {
		return (strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)) &&
			(key > w.after || strings.HasPrefix(w.after, key))
	}
	return strings.HasPrefix(key, w.prefix) && key > w.after
}

// object yields one file. One that was deleted since the directory was read is
// left out.
func (w *walk) object(path, name, key string) (bool, error) {
	info, err := os.Lstat(filepath.Join(path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if err := w.b.settle(path, info); err != nil {
		return false, err
	}
	return w.yield(objstore.Entry{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil), nil
}
