// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dir returns the lines of one package's folder.
func (h *hasher) dir(p listed, tested bool) ([]string, error) {
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, e := range entries {
		name := e.Name()
		if !e.Type().IsRegular() || name[0] == '.' || name[0] == '_' || !isSource(name) ||
			!tested && strings.HasSuffix(name, "_test.go") {
			continue
		}
		if lines, err = h.add(lines, filepath.Join(p.Dir, name)); err != nil {
			return nil, err
		}
	}
	embedded := p.EmbedFiles
	if tested {
		embedded = slices.Concat(embedded, p.TestEmbedFiles, p.XTestEmbedFiles)
		more, err := h.folder(filepath.Join(p.Dir, "testdata"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		lines = append(lines, more...)
	}
	for _, name := range embedded {
		if lines, err = h.add(lines, filepath.Join(p.Dir, name)); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

func isSource(name string) bool {
	switch filepath.Ext(name) {
	case ".go", ".s", ".c", ".h":
		return true
	}
	return false
}

// folder returns the lines of every file below dir.
func (h *hasher) folder(dir string) (lines []string, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.Type().IsRegular() {
			lines, err = h.add(lines, path)
		}
		return err
	})
	return lines, err
}

func (h *hasher) add(lines []string, path string) ([]string, error) {
	rel, err := filepath.Rel(h.root, path)
	if err != nil {
		return nil, err
	}
	if h.files[rel] == "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(raw)
		h.files[rel] = hex.EncodeToString(sum[:])
	}
	return append(lines, filepath.ToSlash(rel)+" "+h.files[rel]), nil
}

// Files hashes files and folders below root, by their paths relative to it. What
// does not exist counts as absent.
func Files(root string, paths []string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	h := hasher{root: root, files: map[string]string{}}
	var lines []string
	for _, p := range paths {
		more, err := h.folder(filepath.Join(root, p))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			more = []string{p + " absent"}
		case err != nil:
			return "", err
		}
		lines = append(lines, more...)
	}
	return Sum(lines), nil
}

// Sum hashes a set of lines.
func Sum(lines []string) string {
	lines = slices.Compact(slices.Sorted(slices.Values(lines)))
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:16])
}
