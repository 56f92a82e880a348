// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const makefile = `
good: ; @echo ran $@ >>log; echo '{"step":"good","passed":3}' >>$$SALVOR_TALLY
bad:  ; @echo ran $@ >>log; exit 1
red:  ; @echo ran $@ >>log; echo '{"step":"red","passed":1,"failed":2,"failures":["a","b"]}' >>$$SALVOR_TALLY; exit 1
skip: ; @echo ran $@ >>log; echo '{"step":"skip","skipped":1}' >>$$SALVOR_TALLY
last: ; @echo ran $@ >>log
`

func TestSteps(t *testing.T) {
	for name, c := range map[string]struct {
		targets, requireNode, ran, says string
		ok                              bool
	}{
		"all good":                      {"good skip", "", "good skip last", "3 passed, 0 failed, 1 skipped", true},
		"a skip where none may be":      {"good skip", "1", "good skip last", "3 passed, 0 failed, 1 skipped", false},
		"a failed step stops no other":  {"bad good", "", "bad good last", "3 passed, 1 failed, 0 skipped", false},
		"unless the others stand on it": {"!bad good", "", "bad last", "0 passed, 1 failed, 0 skipped", false},
		"failed tests count themselves": {"red good", "", "red good last", "4 passed, 2 failed, 0 skipped", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			t.Setenv("REQUIRE_NODE", c.requireNode)
			t.Setenv("MAKEFLAGS", "-j4 --jobserver-auth=3,4")
			t.Setenv("MAKE", "make")
			if err := os.WriteFile("Makefile", []byte(makefile), 0o644); err != nil {
				t.Fatal(err)
			}
			out := captured(t, func() {
				ok, err := run("make test", filepath.Join(dir, "cache"), "last", strings.Fields(c.targets))
				if err != nil || ok != c.ok {
					t.Errorf("ok %v, %v; want %v", ok, err, c.ok)
				}
			})
			log, _ := os.ReadFile("log")
			if ran := strings.Join(strings.Fields(strings.ReplaceAll(string(log), "ran ", "")), " "); ran != c.ran {
				t.Errorf("ran %q, want %q", ran, c.ran)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if last := lines[len(lines)-1]; last != c.says {
				t.Errorf("last line %q, want %q in\n%s", last, c.says, out)
			}
		})
	}
}

// captured returns what f prints.
func captured(t *testing.T, f func()) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = file
	f()
	os.Stdout = old
	file.Close()
	raw, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
