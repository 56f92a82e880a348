// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/salvor-io/salvor/test/contract/fixture"
	"github.com/salvor-io/salvor/test/contract/tree"
)

func TestWhatMakesAResultStale(t *testing.T) {
	root := fixture.Module(t, map[string]string{
		"a/a.go":             "package a\n\nimport _ \"" + fixture.ModulePath + "/b\"\n",
		"a/a_test.go":        "package a\n\nimport (\n\t\"testing\"\n\t\"" + fixture.ModulePath + "/test/contract\"\n)\n\nfunc TestA(t *testing.T) { contract.Row(t, 1) }\n",
		"a/x_test.go":        "package a_test\n\nimport _ \"" + fixture.ModulePath + "/c\"\n",
		"a/tagged.go":        "//go:build odd\n\npackage a\n\nimport _ \"" + fixture.ModulePath + "/e\"\n",
		"a/testdata/in.txt":  "in\n",
		"b/b.go":             "package b\n\nimport _ \"embed\"\n\n//go:embed words.txt\nvar W string\n",
		"b/b_test.go":        "package b\n",
		"b/words.txt":        "words\n",
		"c/c.go":             "package c\n",
		"d/d.go":             "package d\n",
		"e/e.go":             "package e\n",
		"cmd/x/main.go":      "package main\n\nimport _ \"" + fixture.ModulePath + "/d\"\n\nfunc main() {}\n",
		"config/crd/a.yaml":  "a: 1\n",
		"docs/unrelated.txt": "text\n",
	})
	pkg := fixture.ModulePath + "/a"
	targets := []tree.Target{
		{Key: "plain", Package: pkg},
		{Key: "tagged", Package: pkg, Tags: "odd"},
		{Key: "uses", Package: pkg, Uses: []string{"./cmd/x", "config/"}},
		{Key: "gone", Package: fixture.ModulePath + "/gone"},
	}
	hashes := func() map[string]string {
		t.Helper()
		got, err := tree.Hashes(root, targets)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := hashes()
	if before["plain"] == "" || before["plain"] == before["uses"] || before["gone"] != "" {
		t.Fatalf("hashes: %v", before)
	}

	for file, stale := range map[string][]string{
		"a/a.go":                     {"plain", "tagged", "uses"},
		"a/a_test.go":                {"plain", "tagged", "uses"},
		"a/tagged.go":                {"plain", "tagged", "uses"},
		"a/testdata/in.txt":          {"plain", "tagged", "uses"},
		"b/b.go":                     {"plain", "tagged", "uses"},
		"b/words.txt":                {"plain", "tagged", "uses"},
		"c/c.go":                     {"plain", "tagged", "uses"},
		"e/e.go":                     {"tagged"},
		"d/d.go":                     {"uses"},
		"cmd/x/main.go":              {"uses"},
		"config/crd/a.yaml":          {"uses"},
		"b/b_test.go":                nil, // another package's test
		"docs/unrelated.txt":         nil,
		"test/contract/record.go":    nil, // the instrument
		"test/contract/tree/tree.go": nil,
	} {
		t.Run(file, func(t *testing.T) {
			path := filepath.Join(root, file)
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(path, old, 0o644)
			if err := os.WriteFile(path, append(old, "\n// changed\n"...), 0o644); err != nil {
				t.Fatal(err)
			}
			after := hashes()
			want := map[string]bool{}
			for _, key := range stale {
				want[key] = true
			}
			for key := range before {
				if changed := after[key] != before[key]; changed != want[key] {
					t.Errorf("%s: changed %v, want %v", key, changed, want[key])
				}
			}
		})
	}
}

// A package that only the test imports, and that imports the one that is tested, is
// compiled for that test alone. It counts, whatever else is hashed in the same call.
func TestAHashDoesNotDependOnWhatElseIsAsked(t *testing.T) {
	root := fixture.Module(t, map[string]string{
		"a/a.go":       "package a\n",
		"a/in_test.go": "package a\n",
		"a/ex_test.go": "package a_test\n\nimport _ \"" + fixture.ModulePath + "/user\"\n",
		"user/u.go":    "package user\n\nimport _ \"" + fixture.ModulePath + "/a\"\n",
		"b/b.go":       "package b\n\nimport _ \"" + fixture.ModulePath + "/user\"\n",
	})
	a := tree.Target{Key: "a", Package: fixture.ModulePath + "/a"}
	hash := func(targets ...tree.Target) string {
		t.Helper()
		got, err := tree.Hashes(root, targets)
		if err != nil {
			t.Fatal(err)
		}
		return got["a"]
	}
	alone, beside := hash(a), hash(a, tree.Target{Key: "b", Package: fixture.ModulePath + "/b"})
	if alone == "" || alone != beside {
		t.Errorf("alone %s, beside another %s", alone, beside)
	}
	if err := os.WriteFile(filepath.Join(root, "user/u.go"), []byte("package user\n\nimport _ \""+fixture.ModulePath+"/a\"\n\nvar Changed int\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if hash(a) == alone {
		t.Error("what the test imports was changed, and its result is not stale")
	}
}

func TestFilesCountsWhatIsNotThere(t *testing.T) {
	root := t.TempDir()
	without, err := tree.Files(root, []string{"a.txt"})
	if err != nil {
		t.Fatal(err)
	}
	fixture.Write(t, root, map[string]string{"a.txt": ""})
	with, err := tree.Files(root, []string{"a.txt"})
	if err != nil || with == without {
		t.Errorf("%q and %q, %v", without, with, err)
	}
}
