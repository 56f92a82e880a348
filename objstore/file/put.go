// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/salvor-io/salvor/objstore"
)

var (
	// errNoTmpfile says that this file system, or this process, cannot give a
	// name to a file that has none.
	errNoTmpfile = errors.New("no O_TMPFILE")
	// errLanding is wrapped when the link may or may not have been made.
	errLanding = errors.New("it is not known whether the name was made")
)

// PutIfAbsent implements objstore.Bucket. A file has no metadata: attempt is not
// kept. The context is looked at before the link; after it the call runs to its end.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte, _ string) (objstore.PutResult, error) {
	if err := objstore.CheckPut(key, body); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, err
	}
	outcome, err := b.put(ctx, key, body)
	if err != nil {
		err = fmt.Errorf("put %s: %w", key, err)
	}
	if outcome == objstore.Unknown {
		return objstore.PutResult{Outcome: outcome}, err
	}
	return objstore.PutResult{Outcome: outcome, Date: b.now()}, err
}

func (b *Bucket) put(ctx context.Context, key string, body []byte) (objstore.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return objstore.Retry, err
	}
	name, err := b.path(key)
	if err != nil {
		return objstore.Retry, err
	}
	dir := filepath.Dir(name)
	if err := b.makeDir(dir); err != nil {
		return objstore.Retry, b.explain(err)
	}
	if _, statErr := b.sys.lstat(name); statErr == nil {
		err = fs.ErrExist // spares writing a body for nothing; linkat stays the referee
	} else {
		err = b.link(ctx, name, body)
	}
	if errors.Is(err, fs.ErrNotExist) {
		// The directory went away under us: a root was emptied by hand.
		b.forget(dir)
		if err := b.makeDir(dir); err != nil {
			return objstore.Retry, b.explain(err)
		}
		err = b.link(ctx, name, body)
	}
	outcome := objstore.Created
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrExist):
		if info, err := b.sys.lstat(name); err == nil && info.IsDir() {
			return objstore.Retry, fmt.Errorf("%w: %q is a directory of other keys", objstore.ErrInvalidKey, key)
		}
		outcome = objstore.Exists
	case errors.Is(err, errLanding):
		return objstore.Unknown, err
	default:
		return objstore.Retry, b.explain(err)
	}
	// For Exists as well: the other's link may not be synced yet.
	if err := b.syncDir(dir); err != nil {
		return objstore.Unknown, fmt.Errorf("sync directory: %w", err)
	}
	return outcome, nil
}

// link writes body and gives it the name, in one of the two ways. nil means that
// the name was made; fs.ErrExist that it was taken; errLanding neither; anything
// else that nothing landed.
func (b *Bucket) link(ctx context.Context, name string, body []byte) error {
	if !b.named.Load() {
		err := b.linkUnnamed(ctx, name, body)
		if !errors.Is(err, errNoTmpfile) {
			return err
		}
		b.named.Store(true)
	}
	return b.linkNamed(ctx, name, body)
}

// linkError sorts what link and linkat answer: proven to have done nothing, or not.
func linkError(err error) error {
	for _, nothing := range []syscall.Errno{
		syscall.EEXIST, syscall.ENOSPC, syscall.EDQUOT, syscall.ENOENT, syscall.ENOTDIR, syscall.EACCES,
		syscall.EPERM, syscall.EROFS, syscall.EMLINK, syscall.ENAMETOOLONG, syscall.EXDEV, syscall.ELOOP, syscall.EINVAL,
	} {
		if errors.Is(err, nothing) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", errLanding, err)
}

// explain adds what the caller can act on to an error of the file system.
func (b *Bucket) explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: a directory of the key is an object: %w", objstore.ErrInvalidKey, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w: give this user the right to write in %s", objstore.ErrAccessDenied, err, b.root)
	case errors.Is(err, fs.ErrNotExist):
		if rootErr := b.checkRoot(); rootErr != nil {
			return rootErr
		}
	}
	return err
}
