// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// pkg is a package of ours with what it imports outside its tests.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	GoFiles    []string
	Dir        string
}

func (p pkg) path() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// ours returns the path in the module; false for other people's packages.
func ours(importPath string) (string, bool) { return strings.CutPrefix(importPath, module+"/") }

// listed remembers what go list said, by tags.
var listed = map[string][]pkg{}

// packages lists every package of the module in one build.
func packages(t *testing.T, tags string) []pkg {
	t.Helper()
	if all := listed[tags]; all != nil {
		return all
	}
	cmd := exec.Command("go", "list", "-tags", tags, "-json=ImportPath,Imports,Deps,GoFiles,Dir", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list shows only %d packages", len(all))
	}
	listed[tags] = all
	return all
}

// Both builds obey: the one that is released, and the one with crash points.
var builds = []string{"", "failpoint"}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	for _, tags := range builds {
		for _, p := range packages(t, tags) {
			r, ok := ruleOf(p.path())
			if !ok {
				t.Errorf("%s has no place in the house: add a rule to law, with its reason", p.path())
				continue
			}
			for _, i := range p.Imports {
				if dep, ok := ours(i); ok && !atAny(dep, r.may) {
					t.Errorf("%s imports %s. It may import of ours %v only: %s", p.path(), dep, r.may, r.because)
				}
			}
		}
	}
}

// Only controllers and what stands above it know both sisters.
func TestAPIAndLibraryAreSisters(t *testing.T) {
	both := []string{"controllers", "cmd", "config", "test", "hack"}
	for _, p := range packages(t, "") {
		var api, lib string
		for _, d := range p.Deps {
			switch dep, ok := ours(d); {
			case ok && at(dep, "api"):
				api = dep
			case ok && atAny(dep, library):
				lib = dep
			}
		}
		if api != "" && lib != "" && !atAny(p.path(), both) {
			t.Errorf("%s knows %s and %s: only %v may know both the resources and the library", p.path(), api, lib, both)
		}
	}
}

func TestNobodyImportsWhatIsBanned(t *testing.T) {
	for _, tags := range builds {
		for _, p := range packages(t, tags) {
			for _, b := range bans {
				if !atAny(p.path(), b.from) || atAny(p.path(), b.except) {
					continue
				}
				imports := p.Imports
				if b.through {
					imports = p.Deps
				}
				for _, i := range imports {
					for _, what := range b.what {
						if matches(i, what) {
							t.Errorf("%s has %s in it: %s", p.path(), i, b.because)
						}
					}
				}
			}
		}
	}
}

// What an author embeds brings no dependencies along.
func TestPlainPackagesNeedOnlyTheStandardLibrary(t *testing.T) {
	seen := 0
	for _, p := range packages(t, "") {
		if !atAny(p.path(), plain) {
			continue
		}
		seen++
		for _, d := range p.Deps {
			if _, own := ours(d); !own && !isStandard(d) {
				t.Errorf("%s needs %s: an embedding program would need it too", p.path(), d)
			}
		}
	}
	if seen < 6 {
		t.Errorf("looked at only %d packages: the list names packages that are not there", seen)
	}
}

// The law itself, in small: what the words of a rule mean.
func TestWordsOfTheLaw(t *testing.T) {
	for _, c := range []struct {
		pkg, path string
		want      bool
	}{
		{"objstore/s3", "objstore", true}, {"objstore/s3", "objstore!", false}, {"objstore", "objstore!", true},
		{"objstoretest", "objstore", false}, {"anything", "*", true}, {"store/log", "store", true},
	} {
		if got := at(c.pkg, c.path); got != c.want {
			t.Errorf("at(%q, %q) = %v", c.pkg, c.path, got)
		}
	}
	for _, c := range []struct {
		path, what string
		want       bool
	}{
		{"log", "log", true}, {"log/slog", "log", false}, {"k8s.io/api/core/v1", "k8s.io/", true},
		{"github.com/prometheus/client_golang", "github.com/prometheus/", true}, {"go.uber.org/zapx", "go.uber.org/zap", true},
		{"testing", "testing", true}, {"testing/fstest", "testing", false},
	} {
		if got := matches(c.path, c.what); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.path, c.what, got)
		}
	}
	if r, ok := ruleOf("objstore/s3"); !ok || r.at != "objstore/s3" {
		t.Errorf("the longest rule does not win: %+v", r)
	}
	if _, ok := ruleOf("utils"); ok {
		t.Error("a package that nobody named has a rule")
	}
}
