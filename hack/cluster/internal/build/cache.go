// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// unused is how long a folder of programs that nobody asked for is kept.
const unused = 30 * 24 * time.Hour

// prune marks the folders in use and removes those that no checkout has asked
// for in a long time; a set of programs is most of a gigabyte.
func prune(cache string, found map[string]string) {
	now := time.Now()
	for _, path := range found {
		_ = os.Chtimes(filepath.Dir(path), now, now) // absent before its first build
	}
	entries, err := os.ReadDir(filepath.Join(cache, "bin"))
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > unused {
			_ = os.RemoveAll(filepath.Join(cache, "bin", e.Name()))
		}
	}
}

// lock makes two builds of one module take turns; the second then finds the
// programs ready.
func lock(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
