// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/hack/contract/tally"
	"github.com/salvor-io/salvor/test/contract/fixture"
)

// counted runs the fixture's tests and counts what go test says.
func counted(t *testing.T, test string) tally.Count {
	t.Helper()
	root := fixture.Module(t, map[string]string{"a/a.go": "package a\n", "a/a_test.go": test})
	out, err := fixture.Go(t, root, nil, "test", "-json", "./a")
	c := newCounter(1, false)
	for line := range strings.Lines(out) {
		var e event
		if json.Unmarshal([]byte(line), &e) == nil {
			c.add(e)
		}
	}
	return c.sum("step", err)
}

func TestCount(t *testing.T) {
	const head = "package a\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Exit\n\n"
	for name, c := range map[string]struct {
		test string
		want tally.Count
		says string
	}{
		"leaves count": {`func TestA(t *testing.T) { t.Run("x", func(t *testing.T) {}); t.Run("y", func(t *testing.T) {}) }
func TestB(t *testing.T) {}`, tally.Count{Passed: 3}, ""},
		"a failed leaf fails once": {`func TestA(t *testing.T) { t.Run("x", func(t *testing.T) { t.Error("no") }); t.Run("y", func(t *testing.T) {}) }`,
			tally.Count{Passed: 1, Failed: 1}, "a.TestA/x: a_test.go:10: no"},
		"a parent that fails by itself": {`func TestA(t *testing.T) { t.Run("x", func(t *testing.T) {}); t.Error("no") }`,
			tally.Count{Passed: 1, Failed: 1}, "a.TestA"},
		"a skip":                        {`func TestA(t *testing.T) { t.Skip("no cluster") }`, tally.Count{Skipped: 1}, ""},
		"a skip until make prove":       {`func TestA(t *testing.T) { t.Skip("make prove: 10,000 of them") }`, tally.Count{Later: 1}, ""},
		"a panic":                       {`func TestA(t *testing.T) { panic("no") }`, tally.Count{Failed: 1}, "a.TestA"},
		"a process that ends in a test": {`func TestA(t *testing.T) { os.Exit(1) }`, tally.Count{Failed: 1}, "a.TestA"},
		"a failure outside of tests": {`func TestA(t *testing.T) {}
func TestMain(m *testing.M) { m.Run(); os.Exit(1) }`, tally.Count{Passed: 1, Failed: 1}, "a (outside of a test)"},
		"what does not compile": {`func TestA(t *testing.T) { undefined() }`, tally.Count{Failed: 1}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			got := counted(t, head+c.test)
			if got.Passed != c.want.Passed || got.Failed != c.want.Failed || got.Skipped != c.want.Skipped || got.Later != c.want.Later {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if c.says != "" && (len(got.Failures) != 1 || !strings.HasPrefix(got.Failures[0], c.says)) {
				t.Errorf("failures %q, want %q", got.Failures, c.says)
			}
		})
	}
}

func TestAFailedRunIsNeverCountedAsNone(t *testing.T) {
	if got := newCounter(1, false).sum("step", errors.New("exit status 2")); got.Failed != 1 {
		t.Errorf("%+v", got)
	}
}

func TestGinkgoReport(t *testing.T) {
	spec := func(state string, attempts int, message string) string {
		return `{"LeafNodeType":"It","LeafNodeText":"heals","State":"` + state + `","NumAttempts":` + string(rune('0'+attempts)) + `,"Failure":{"Message":"` + message + `"}}`
	}
	report := func(specs ...string) string { return `[{"SpecReports":[` + strings.Join(specs, ",") + `]}]` }
	for name, c := range map[string]struct {
		report string
		want   tally.Count
		bad    bool
	}{
		"passed and failed":    {report(spec("passed", 1, ""), spec("failed", 1, "x"), spec("panicked", 1, "x"), spec("timedout", 1, "x")), tally.Count{Passed: 1, Failed: 3}, false},
		"skipped and left out": {report(spec("passed", 1, ""), spec("skipped", 1, "no node"), spec("skipped", 0, ""), spec("pending", 0, "")), tally.Count{Passed: 1, Skipped: 2}, false},
		"later":                {report(spec("passed", 1, ""), spec("skipped", 1, "make prove: in full there")), tally.Count{Passed: 1, Later: 1}, false},
		"nothing ran":          {report(spec("skipped", 0, "")), tally.Count{}, true},
		"not a report":         {"ok", tally.Count{}, true},
		"a set-up is no spec":  {report(`{"LeafNodeType":"BeforeSuite","State":"passed"}`, spec("passed", 1, "")), tally.Count{Passed: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "report.json")
			if err := os.WriteFile(file, []byte(c.report), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := readReport(file)
			if (err != nil) != c.bad || got.Passed != c.want.Passed || got.Failed != c.want.Failed || got.Skipped != c.want.Skipped || got.Later != c.want.Later {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	if _, err := readReport(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a suite that left no report passed")
	}
}

func TestChoose(t *testing.T) {
	root := fixture.Module(t, map[string]string{
		"a/a.go": "package a\n", "a/a_test.go": "package a\n",
		"b/b.go": "package b\n", "b/tagged_test.go": "//go:build odd\n\npackage b\n",
		"c/c.go": "package c\n",
	})
	t.Chdir(root)
	t.Setenv("GOFLAGS", "")
	for _, c := range []struct{ tags, only, want string }{
		{"", "", "a"}, {"", "library", "a"}, {"", "kubernetes", ""}, {"odd", "", "a b"}, {"odd", "tagged", "b"}, {"", "tagged", ""},
	} {
		got, err := choose([]string{"./a", "./b", "./c"}, c.tags, c.only)
		for i := range got {
			got[i] = short(got[i])
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("tags %q, only %q: %v, %v; want %s", c.tags, c.only, got, err, c.want)
		}
	}
	if _, err := choose([]string{"./a"}, "", "odd"); err == nil {
		t.Error("an unknown choice was accepted")
	}
}
