// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// keep remembers files and returns what puts them back.
func keep(dir string, files []string) (restore func() error, err error) {
	type content struct {
		raw  []byte
		mode fs.FileMode
	}
	kept := map[string]content{}
	for _, file := range files {
		path := filepath.Join(dir, file)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		kept[file] = content{raw, info.Mode().Perm()}
	}
	return func() error {
		for _, file := range files {
			path := filepath.Join(dir, file)
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if c, ok := kept[file]; ok {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					return err
				}
				if err := os.WriteFile(path, c.raw, c.mode); err != nil {
					return err
				}
			}
		}
		return nil
	}, nil
}

// applyPatch returns why it could not.
func applyPatch(ctx context.Context, dir, file string) string {
	cmd := exec.CommandContext(ctx, "git", "apply", "--whitespace=nowarn", file)
	cmd.Dir = dir
	// The copy may lie inside a repository, which is not meant.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GIT_") }),
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return strings.TrimSpace(string(out)) + " (" + err.Error() + ")"
	}
	return ""
}
