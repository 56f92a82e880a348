// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package tree tells whether code changed: it hashes what a test is made of.
//
// The hash of a test package covers, of this module, the Go and assembly files
// of every package that the test depends on, test files only of the package
// itself, its testdata, what is embedded, and the folders that it names; of
// other modules, their versions. Build tags choose what is imported, but a file
// counts whether the tags select it or not. The standard library does not count.
//
// The recorder in test/contract is the instrument and not what is measured: a
// change to it makes no result stale, except its own.
package tree

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Target is a test package to hash.
type Target struct {
	// Key is the target's name in the answer.
	Key string
	// Package is its import path.
	Package string
	// Tags are the build tags, with commas.
	Tags string
	// Uses are Go package patterns ("./cmd/salvor") and folders ("config/").
	Uses []string
}

const instrument = "/test/contract"

// Hashes returns the content hash of each target, by key. A target that is no
// package of the module at root any more has none.
func Hashes(root string, targets []Target) (map[string]string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	byTags := map[string][]Target{}
	for _, t := range targets {
		byTags[t.Tags] = append(byTags[t.Tags], t)
	}
	h := hasher{root: root, files: map[string]string{}, out: map[string]string{}}
	for tags, group := range byTags {
		if err := h.group(tags, group); err != nil {
			return nil, err
		}
	}
	return h.out, nil
}

// listed is what is asked of "go list".
type listed struct {
	ImportPath      string
	Dir             string
	Standard        bool
	Deps            []string
	EmbedFiles      []string
	TestEmbedFiles  []string
	XTestEmbedFiles []string
	Module          *module
}

type module struct {
	Path    string
	Version string
	Main    bool
	Replace *module
}

type hasher struct {
	root  string
	files map[string]string // sha256 by path relative to root
	out   map[string]string
}

func (h *hasher) group(tags string, targets []Target) error {
	var patterns, uses []string
	for _, t := range targets {
		patterns = append(patterns, t.Package)
		for _, u := range t.Uses {
			if !isFolder(u) {
				uses = append(uses, u)
			}
		}
	}
	packages, err := list(h.root, tags, slices.Concat(patterns, uses), "-deps", "-test")
	if err != nil {
		return err
	}
	expanded := map[string][]string{} // Uses pattern -> packages
	for _, u := range uses {
		if expanded[u] != nil {
			continue
		}
		roots, err := list(h.root, tags, []string{u})
		if err != nil {
			return err
		}
		for path := range roots {
			expanded[u] = append(expanded[u], path)
		}
	}
	for _, t := range targets {
		if _, ok := packages[t.Package]; !ok {
			continue
		}
		sum, err := h.target(t, packages, expanded)
		if err != nil {
			return err
		}
		h.out[t.Key] = sum
	}
	return nil
}

func isFolder(use string) bool { return strings.HasSuffix(use, "/") }

// target hashes one test package, given everything that go list said.
func (h *hasher) target(t Target, packages map[string]listed, expanded map[string][]string) (string, error) {
	deps := map[string]bool{t.Package: true}
	add := func(p listed) {
		for _, d := range p.Deps {
			deps[plain(d)] = true
		}
	}
	add(packages[t.Package])
	add(packages[t.Package+".test"]) // absent when there are no test files
	for _, u := range t.Uses {
		for _, path := range expanded[u] {
			deps[path] = true
			add(packages[path])
		}
	}

	var lines []string
	for d := range deps {
		p, ok := packages[d]
		switch {
		case !ok || p.Standard || strings.HasSuffix(d, ".test"):
		case p.Module == nil || p.Module.Main:
			if strings.Contains(d, instrument) && !strings.Contains(t.Package, instrument) {
				continue
			}
			more, err := h.dir(p, d == t.Package)
			if err != nil {
				return "", err
			}
			lines = append(lines, more...)
		default:
			m := p.Module
			if m.Replace != nil {
				m = m.Replace
			}
			lines = append(lines, "module "+m.Path+" "+m.Version)
		}
	}
	for _, u := range t.Uses {
		if !isFolder(u) {
			continue
		}
		more, err := h.folder(filepath.Join(h.root, u))
		if err != nil {
			return "", fmt.Errorf("%s, which %s uses: %w", u, t.Package, err)
		}
		lines = append(lines, more...)
	}
	return Sum(lines), nil
}

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

// plain takes the "[pkg.test]" off the name of a package that go list shows as
// recompiled for a test.
func plain(path string) string {
	path, _, _ = strings.Cut(path, " ")
	return path
}

const fields = "-json=ImportPath,Dir,Standard,Deps,EmbedFiles,TestEmbedFiles,XTestEmbedFiles,Module"

func list(root, tags string, patterns []string, flags ...string) (map[string]listed, error) {
	args := slices.Concat([]string{"list", "-e", "-tags=" + tags, fields}, flags, []string{"--"}, patterns)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, cmp.Or(strings.TrimSpace(stderr.String()), "no message"))
	}
	out := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.ImportPath == plain(p.ImportPath) && p.Dir != "" {
			out[p.ImportPath] = p
		}
	}
}
