// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package paths says where this tool keeps things. Every other package asks
// here, so that one environment variable moves a thing everywhere.
package paths

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// Root is the folder hack/cluster of the checkout, which holds the pinned
// modules. A program started by "go run" finds it from the working directory;
// one started by its path finds it from where its source was compiled.
func Root() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for ; ; dir = filepath.Dir(dir) {
			for _, candidate := range []string{dir, filepath.Join(dir, "hack", "cluster")} {
				if isFile(filepath.Join(candidate, "build", "kubernetes", "go.mod")) {
					return candidate, nil
				}
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("the pinned modules (hack/cluster/build) were not found: run this from inside a salvor checkout")
}

// Cache holds what is expensive to make and safe to share between checkouts:
// binaries and packed images, named by their contents.
func Cache() (string, error) {
	if dir := os.Getenv("SALVOR_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir() // honours XDG_CACHE_HOME
	if err != nil {
		return "", errors.New("no cache directory: set SALVOR_CACHE, XDG_CACHE_HOME or HOME")
	}
	return filepath.Join(dir, "salvor"), nil
}

// State holds everything of all running clusters, one folder each. It must be
// on a disk and not in memory: volumes want user extended attributes, and
// container file systems want room.
func State() string {
	if dir := os.Getenv("SALVOR_STATE"); dir != "" {
		if abs, err := filepath.Abs(dir); err == nil {
			return abs
		}
	}
	return "/var/lib/salvor-cluster"
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
