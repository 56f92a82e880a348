// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// tmpDir holds bodies on their way to a name. The space keeps it out of the keys.
const tmpDir = ".salvor tmp"

// tmpAge is how old a file in tmpDir is when nobody can be writing it any more.
// Should somebody be, the link fails with ENOENT and nothing landed.
const tmpAge = 24 * time.Hour

// linkNamed writes body under a name in tmpDir and then links it to its own.
func (b *Bucket) linkNamed(ctx context.Context, name string, body []byte) (err error) {
	dir := filepath.Join(b.root, tmpDir)
	// Not synced: what is in there need not survive.
	if err := b.sys.mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	tmp := filepath.Join(dir, rand.Text())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer os.Remove(tmp) // a failure leaves it to the sweep
	err = b.sys.write(f, body)
	if err == nil {
		err = b.sys.syncFile(f)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	err = b.sys.linkNamed(tmp, name)
	if err == nil {
		return nil
	}
	// A network file system may send the link twice and answer for the second:
	// what the name leads to says whether it is ours.
	mine, mineErr := b.sys.lstat(tmp)
	there, thereErr := b.sys.lstat(name)
	if mineErr == nil && thereErr == nil && os.SameFile(mine, there) {
		return nil
	}
	return linkError(err)
}

// sweep removes what crashes left in tmpDir. It is best effort: nothing depends on it.
func (b *Bucket) sweep() {
	dir := filepath.Join(b.root, tmpDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && b.now().Sub(info.ModTime()) > tmpAge {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
