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
	"fmt"
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
