// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/contract/tree"
)

// Dir is where the mutants are, relative to the module's root.
const Dir = "test/teeth"

// Mutant is one planted bug and the tests that must fail for it.
type Mutant struct {
	Name string
	// Rows of the contract whose tests must fail.
	Rows []int
	// Command is how the tests are run.
	Command Command
	Tier    contract.Tier
	// TimeoutOK: the bug may show as a hang.
	TimeoutOK bool
	// Says, if not nil, must match what the failing tests print.
	Says  *regexp.Regexp
	Story string
	// Group of a bug of the protocol; empty: it is of another sort.
	Group Group
	// Unseen: the tests of the Library pass with the bug in it.
	Unseen bool
	// Closes are the holes of the protocol's drafts that it opens again: see Holes.
	Closes []string
	// Replays names the published bug of another system that this is one like.
	Replays string
	// Touches lists the files that the patch changes.
	Touches []string
	// File is the patch, relative to the module's root.
	File string
}

// Command is a run of tests. Mutants with the same command share one run without
// any patch, which has to pass.
type Command struct {
	Packages string // patterns, separated by spaces
	Run      string
	Tags     string
	Env      string
	Race     bool
	Setup    string
	// Cached: a result of earlier counts as long as nothing that it depends on changed.
	Cached bool
	// Full: as in "make prove"; of mutants of that tier.
	Full bool
}

// Load reads every mutant of the module at root, by name. A patch that cannot be
// read is in broken, and the others are still good.
func Load(root string) (mutants []Mutant, broken map[string]error, err error) {
	files, err := filepath.Glob(filepath.Join(root, Dir, "*.patch"))
	if err != nil {
		return nil, nil, err
	}
	broken = map[string]error{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".patch")
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		m, err := Parse(name, string(raw))
		if err != nil {
			broken[name] = err
			continue
		}
		mutants = append(mutants, m)
	}
	return mutants, broken, nil
}

// Parse reads a patch and its header.
func Parse(name, text string) (Mutant, error) {
	head, diff, ok := cutDiff(text)
	if !ok {
		return Mutant{}, errors.New("no line begins with \"diff --git\"")
	}
	m := Mutant{Name: name, Tier: contract.TierTest, File: path.Join(Dir, name+".patch")}
	seen := map[string]bool{}
	for line := range strings.Lines(head) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || seen[key] {
			return Mutant{}, fmt.Errorf("header line %q: want \"Key: value\", each key once", line)
		}
		seen[key] = true
		if err := m.set(key, value); err != nil {
			return Mutant{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	for _, key := range []string{"Rows", "Package", "Run", "Story"} {
		if !seen[key] {
			return Mutant{}, fmt.Errorf("the header has no %s", key)
		}
	}
	if m.Group == "" && (m.Unseen || m.Replays != "" || m.Closes != nil) {
		return Mutant{}, fmt.Errorf("Unseen, Closes and Replays are for bugs of the protocol: say which Group")
	}
	m.Command.Full = m.Tier == contract.TierProve
	return m, m.setTouches(diff)
}

func cutDiff(text string) (head, diff string, ok bool) {
	if strings.HasPrefix(text, "diff --git ") {
		return "", text, true
	}
	i := strings.Index(text, "\ndiff --git ")
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}

func (m *Mutant) set(key, value string) (err error) {
	if value == "" {
		return errors.New("no value")
	}
	switch key {
	case "Rows":
		m.Rows, err = contract.ParseList(value)
	case "Package":
		m.Command.Packages = strings.Join(strings.Fields(value), " ")
		for p := range strings.FieldsSeq(value) {
			if !strings.HasPrefix(p, "./") {
				return fmt.Errorf("%q: want a path in this module, as in ./recovery or ./recovery/...", p)
			}
		}
	case "Run":
		m.Command.Run = value
		_, err = regexp.Compile(value)
	case "Tags":
		m.Command.Tags = value
	case "Env":
		m.Command.Env = value
	case "Race":
		m.Command.Race, err = yes(value, "yes")
	case "Setup":
		m.Command.Setup = value
	case "Timeout":
		m.TimeoutOK, err = yes(value, "ok")
	case "Group":
		m.Group, err = parseGroup(value)
	case "Unseen":
		m.Unseen, err = yes(value, "yes")
	case "Closes":
		m.Closes, err = parseHoles(value)
	case "Replays":
		m.Replays = value
	case "Says":
		m.Says, err = regexp.Compile(value)
	case "Story":
		m.Story = value
	case "Tier":
		m.Tier = contract.Tier(value)
		if m.Tier != contract.TierTest && m.Tier != contract.TierProve {
			return fmt.Errorf("%q is neither %q nor %q", value, contract.TierTest, contract.TierProve)
		}
	default:
		return errors.New("no such key; package test/teeth lists them")
	}
	return err
}

func yes(value, word string) (bool, error) {
	if value != word {
		return false, fmt.Errorf("want %q or no such line", word)
	}
	return true, nil
}

func (m *Mutant) setTouches(diff string) error {
	for line := range strings.Lines(diff) {
		line = strings.TrimRight(line, "\r\n")
		if after, ok := strings.CutPrefix(line, "diff --git a/"); ok {
			from, to, _ := strings.Cut(after, " b/")
			m.Touches = append(m.Touches, from, to)
		}
	}
	slices.Sort(m.Touches)
	m.Touches = slices.Compact(m.Touches)
	for _, file := range m.Touches {
		if strings.HasSuffix(file, "_test.go") || slices.Contains(strings.Split(file, "/"), "testdata") {
			return fmt.Errorf("it changes %s: a mutant breaks the product, not its tests", file)
		}
		if !filepath.IsLocal(file) {
			return fmt.Errorf("it changes %q, which is outside of the tree", file)
		}
	}
	return nil
}

// Hash says whether a result of the mutant still holds: it covers the patch, the
// files that it touches and the packages whose tests catch it.
func (m *Mutant) Hash(root string) (string, error) {
	paths := append([]string{m.File}, m.Touches...)
	for p := range strings.FieldsSeq(m.Command.Packages) {
		dir, recursive := strings.CutSuffix(strings.TrimPrefix(p, "./"), "...")
		files, err := testFiles(root, path.Clean(dir), recursive)
		if err != nil {
			return "", err
		}
		paths = append(paths, files...)
	}
	return tree.Files(root, paths)
}

// testFiles lists a package's sources and its testdata; all below it if recursive.
func testFiles(root, dir string, recursive bool) (files []string, err error) {
	err = filepath.WalkDir(filepath.Join(root, dir), func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		data := slices.Contains(strings.Split(rel, "/"), "testdata")
		switch {
		case e.IsDir() && rel != dir && !data && (!recursive || strings.HasPrefix(e.Name(), ".")):
			return fs.SkipDir
		case e.Type().IsRegular() && (strings.HasSuffix(rel, ".go") || data):
			files = append(files, rel)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return []string{dir}, nil // hashed as absent
	}
	return files, err
}
