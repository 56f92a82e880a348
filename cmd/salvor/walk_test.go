// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

var _ = contract.Uses("docs/")

// The pages whose console blocks are run, in order, on a root of their own. UPDATE=1
// writes what the commands print.
func TestWalkIsWhatTheCommandsPrint(t *testing.T) {
	contract.Row(t, 129)
	for _, page := range []string{"manifest.md", filepath.Join("runbooks", "restore-or-move-a-root.md")} {
		t.Run(filepath.Base(page), func(t *testing.T) {
			path := filepath.Join("..", "..", "docs", page)
			raw, err := os.ReadFile(path)
			ok(t, err)
			w := newWalk(t)
			got := w.page(string(raw))
			if w.ran < 8 {
				t.Errorf("only %d commands were run", w.ran)
			}
			if os.Getenv("UPDATE") == "1" {
				ok(t, os.WriteFile(path, []byte(got), 0o644))
			} else if got != string(raw) {
				t.Errorf("docs/%s is not what the commands print: run UPDATE=1 go test ./cmd/salvor -run TestWalk\n%s", page, firstDifference(string(raw), got))
			}
		})
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d\n page: %s\n now:  %s", i+1, x[i], y[i])
		}
	}
	return "one of them is longer"
}

// walk runs a page. What the reader does not see happens in comments: <!-- walk: … -->.
type walk struct {
	t     *testing.T
	roots map[string]string // as the page names them: the directory
	keys  string
	ids   map[string]string // as the page shows them
	w     *recovery.Writer
	b     *dying
	saved map[string][]byte
	ran   int
}

func newWalk(t *testing.T) *walk {
	w := &walk{t: t, roots: map[string]string{}, ids: map[string]string{}, keys: t.TempDir()}
	ok(t, os.WriteFile(filepath.Join(w.keys, "k1"), []byte("walk-walk-walk-walk"), 0o600))
	ok(t, os.WriteFile(filepath.Join(w.keys, "current"), []byte("k1"), 0o600))
	return w
}

// page returns the page with every output as it is now.
func (w *walk) page(page string) string {
	var out []string
	inBlock := false
	var commands []string
	for _, line := range strings.Split(page, "\n") {
		switch {
		case line == "```console" || line == "   ```console":
			inBlock, commands = true, nil
		case inBlock && strings.TrimSpace(line) == "```":
			inBlock = false
			indent := line[:len(line)-3]
			out = append(out, indent+"```console")
			for _, c := range commands {
				for i, l := range strings.Split(c, "\n") {
					out = append(out, indent+map[bool]string{true: "$ ", false: ""}[i == 0]+l)
				}
				for _, l := range w.run(c) {
					out = append(out, strings.TrimRight(indent+l, " "))
				}
			}
			out = append(out, line)
			continue
		case inBlock:
			l := strings.TrimPrefix(line, "   ")
			if c, ok := strings.CutPrefix(strings.TrimSpace(line), "$ "); ok {
				commands = append(commands, c)
			} else if n := len(commands); n > 0 && strings.HasSuffix(commands[n-1], "\\") {
				commands[n-1] += "\n" + l
			}
			continue
		case strings.HasPrefix(strings.TrimSpace(line), "<!-- walk: "):
			w.aside(strings.Fields(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "<!-- walk: "), " -->")))
		}
		if !inBlock {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

var substitution = regexp.MustCompile(`\$\([^)]*\)`)

// run runs one command line and returns what it printed, as the page shows it.
func (w *walk) run(line string) []string {
	line = strings.ReplaceAll(line, "\\\n", " ")
	line, echo := strings.CutSuffix(line, `; echo "exit code $?"`)
	line, _, head := strings.Cut(line, " | head -1")
	line = substitution.ReplaceAllString(line, "5b1e")
	args := strings.Fields(line)
	if args[0] != "salvor" {
		w.shell(args)
		return nil
	}
	for i := range args {
		args[i] = w.real(args[i])
	}
	w.ran++
	stdout, stderr, code := run(w.t, args[1:]...)
	if code != 0 && !echo {
		w.t.Errorf("%s: exit code %d\n%s%s", line, code, stdout, stderr)
	}
	out := w.shown(stdout + stderr)
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "… ") }) // progress, on a slow machine
	if head {
		lines = lines[:1]
	}
	if echo {
		lines = append(lines, "exit code "+strconv.Itoa(code))
	}
	return lines
}

// shell does what a page does besides salvor, where it means something here.
func (w *walk) shell(args []string) {
	switch args[0] {
	case "kubectl", "aws":
	case "cp":
		ok(w.t, os.CopyFS(w.dir("file://"+args[len(args)-1]), os.DirFS(w.dir("file://"+args[len(args)-2]))))
	default:
		w.t.Errorf("the walk does not know how to run %q", strings.Join(args, " "))
	}
}

// dir returns the directory that stands for a root of the page.
func (w *walk) dir(root string) string {
	if w.roots[root] == "" {
		w.roots[root] = filepath.Join(w.t.TempDir(), "root")
	}
	return w.roots[root]
}

func (w *walk) real(arg string) string {
	switch {
	case strings.HasPrefix(arg, "file://") || strings.HasPrefix(arg, "s3://"):
		return "file://" + w.dir(arg)
	case arg == "/etc/salvor/audit-keys":
		return w.keys
	}
	return arg
}

var (
	ulids  = regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`)
	stamps = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
)

// shown replaces what differs from run to run: ids by the order in which they
// appear, times by one.
func (w *walk) shown(s string) string {
	for root, dir := range w.roots {
		s = strings.ReplaceAll(s, "file://"+dir, root)
		s = strings.ReplaceAll(s, dir, strings.TrimPrefix(root, "file://"))
	}
	s = ulids.ReplaceAllStringFunc(s, func(id string) string {
		if w.ids[id] == "" {
			w.ids[id] = fmt.Sprintf("01KAS7QDY2%016d", len(w.ids)+1)
		}
		return w.ids[id]
	})
	return stamps.ReplaceAllStringFunc(s, func(at string) string {
		if strings.Contains(at, ".") {
			return "2026-11-22T10:00:00.000Z"
		}
		return "2026-11-22T10:00:00Z"
	})
}
