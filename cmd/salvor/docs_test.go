// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// pages are the texts that tell people what to type.
func pages(t *testing.T) (out []string) {
	t.Helper()
	for _, dir := range []string{"docs", "examples", "README.md"} {
		ok(t, filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && strings.HasSuffix(path, ".md") {
				out = append(out, path)
			}
			return err
		}))
	}
	return out
}

// Every command line in a page is one that this salvor takes: the command is there,
// and so are its flags. In console blocks of docs/, nothing that is required is missing.
func TestCommandLinesInPagesParse(t *testing.T) {
	seen := 0
	for _, path := range pages(t) {
		raw, err := os.ReadFile(path)
		ok(t, err)
		for _, line := range commandLines(string(raw)) {
			seen++
			if why := parses(line); why != "" {
				t.Errorf("%s: `%s`: %s", strings.TrimPrefix(path, "../../"), line, why)
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d command lines were found", seen)
	}
}

var (
	inline   = regexp.MustCompile("`(salvor [^`]+)`")
	quoted   = regexp.MustCompile(`'[^']*'|"[^"]*"|\$\([^)]*\)`)
	shellEnd = regexp.MustCompile(`(;|\||&&|>|#).*$`)
)

// commandLines returns the command lines of a page that begin with salvor.
func commandLines(page string) (out []string) {
	page = strings.ReplaceAll(page, "\\\n", " ")
	fenced := false
	for _, line := range strings.Split(page, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			continue
		}
		if !fenced {
			for _, m := range inline.FindAllStringSubmatch(line, -1) {
				out = append(out, m[1])
			}
			continue
		}
		line = strings.TrimPrefix(line, "$ ")
		if strings.HasPrefix(line, "salvor ") && !strings.HasPrefix(line, "salvor <") && !strings.Contains(line, " sha256:") { // the first line of an object
			out = append(out, line)
		}
	}
	return out
}

// parses says why a command line is not one of ours; "" when it is.
func parses(line string) string {
	line = shellEnd.ReplaceAllString(quoted.ReplaceAllString(line, "X"), "")
	var args []string
	for _, a := range strings.Fields(line)[1:] {
		if a != "…" && a != "..." && a != "--help" {
			args = append(args, strings.ReplaceAll(a, "…", "1"))
		}
	}
	if len(args) > 0 && strings.Contains(args[0], "|") { // salvor audit verify|ls
		return ""
	}
	cmd, rest, err := newRootCommand().Find(args)
	if err != nil {
		return err.Error()
	}
	if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && cmd.HasSubCommands() {
		return "no such command: " + rest[0]
	}
	// A flag that ends the line is spoken of, not given.
	if n := len(rest); n > 0 && strings.HasPrefix(rest[n-1], "--") && !strings.Contains(rest[n-1], "=") {
		if f := cmd.Flag(strings.TrimPrefix(rest[n-1], "--")); f != nil && f.NoOptDefVal == "" {
			rest = append(rest, f.DefValue)
		}
	}
	if i := slices.Index(rest, "N"); i > 0 {
		rest[i] = "1"
	}
	if i := slices.Index(rest, "V"); i > 0 {
		rest[i] = "1"
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err.Error()
	}
	return ""
}

// What the test of pages would say of lines that are wrong.
func TestParses(t *testing.T) {
	for line, want := range map[string]string{
		"salvor manifest gc --dry-run --root file:///x":          "",
		"salvor manifest gc --dryrun --root file:///x":           "unknown flag: --dryrun",
		"salvor manifest adpot --root file:///x":                 "no such command: adpot",
		"salvor manifests show":                                  `unknown command "manifests" for "salvor"`,
		"salvor manifest log --last many":                        "invalid argument",
		"salvor manifest format --raise N":                       "",
		"salvor conformance --writer 'a --b' --root $(echo --c)": "",
	} {
		if got := parses(line); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// A runbook speaks of reasons as the resources show them.
func TestReasonsInRunbooksExist(t *testing.T) {
	word := regexp.MustCompile("`(Root[A-Za-z]+)`")
	found := 0
	for _, path := range pages(t) {
		if !strings.Contains(path, "runbooks") {
			continue
		}
		raw, err := os.ReadFile(path)
		ok(t, err)
		for _, m := range word.FindAllStringSubmatch(string(raw), -1) {
			found++
			if _, ok := v1alpha1.Explain(m[1]); !ok && m[1] != "RootClaimed" { // a condition
				t.Errorf("%s: docs/reasons.md has no reason %s", path, m[1])
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d reasons were found", found)
	}
}
