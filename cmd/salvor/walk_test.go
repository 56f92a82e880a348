// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/file"
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

// aside does what happens between two commands, to the first root of the page.
func (w *walk) aside(words []string) {
	w.t.Helper()
	const root = "file:///var/lib/salvor/root"
	dir := w.dir(root)
	switch words[0] {
	case "publish":
		ok(w.t, w.publish(dir, words[1:]...))
	case "publish-many":
		n, err := strconv.Atoi(words[1])
		ok(w.t, err)
		for range n {
			ok(w.t, w.publish(dir, words[2:]...))
		}
	case "crash":
		w.b.last = ".confirmed"
		if err := w.publish(dir, words[1:]...); err == nil {
			w.t.Error("the writer did not die")
		}
		w.w = nil
	case "age":
		d, err := time.ParseDuration(words[1])
		ok(w.t, err)
		(&rooted{t: w.t, dir: dir}).age(d)
	case "freeze":
		m := w.open(dir)
		_, err := m.Lock(w.t.Context(), manifest.Publisher{Role: manifest.RoleOperator, Process: manifest.ProcessID(newID())},
			manifest.Lock{Owner: words[1], Reason: "database restart", Mode: manifest.Frozen, Since: time.Now(), Until: time.Now().Add(time.Hour)})
		ok(w.t, err)
	case "damage":
		pin := w.open(dir).View().Tables[manifest.TableID(words[1])]
		path := filepath.Join(dir, manifest.TableKey(manifest.TableID(words[1]), pin.Number, pin.Operation))
		raw, err := os.ReadFile(path)
		ok(w.t, err)
		w.saved = map[string][]byte{path: bytes.Clone(raw)}
		raw[len(raw)-3] ^= 1
		ok(w.t, os.WriteFile(path, raw, 0o600))
	case "mend":
		for path, raw := range w.saved {
			ok(w.t, os.WriteFile(path, raw, 0o600))
		}
	default:
		w.t.Errorf("walk: %v", words)
	}
}

func (w *walk) open(dir string) *manifest.Store {
	w.t.Helper()
	b, err := file.Open(dir, file.Options{})
	ok(w.t, err)
	m, err := manifest.Open(w.t.Context(), b, manifest.Options{NewID: newID})
	ok(w.t, err)
	return m
}

// publish is a commit of the writer orders-0, which is started when it does not run.
func (w *walk) publish(dir string, tables ...string) error {
	w.t.Helper()
	if w.w == nil {
		b, err := file.Open(dir, file.Options{})
		ok(w.t, err)
		w.b = &dying{Bucket: b}
		_, err = manifest.CreateIdentity(w.t.Context(), b, newID(), newID(), nil)
		ok(w.t, err)
		m, err := manifest.Open(w.t.Context(), w.b, manifest.Options{NewID: newID})
		ok(w.t, err)
		w.w = recovery.NewWriter(m, recovery.WriterOptions{ID: "orders-0", Process: manifest.ProcessID(newID()), NewID: newID, Await: time.Millisecond})
		ok(w.t, w.w.Register(w.t.Context()))
	}
	op := recovery.Operation{Kind: recovery.KindCheckpoint}
	w.b.position += 128
	for _, t := range tables {
		op.Changes = append(op.Changes, recovery.Change{Table: manifest.TableID(t), Position: w.b.position, Write: func(ctx context.Context, v recovery.TableVersion) (string, error) {
			raw, err := envelope.Encode("walk", 1, map[string]any{"operation": v.Operation})
			if err != nil {
				return "", err
			}
			h, _, err := envelope.ParseHeader(raw)
			if err != nil {
				return "", err
			}
			_, err = w.b.PutIfAbsent(ctx, v.Object, raw, newID())
			return h.Digest, err
		}})
	}
	_, err := w.w.Commit(w.t.Context(), op)
	return err
}

// dying is the bucket of a writer that sends nothing after a certain put.
type dying struct {
	objstore.Bucket
	last     string
	dead     bool
	position manifest.Position
}

var errDying = errors.New("the process is gone")

func (d *dying) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if d.dead {
		return objstore.PutResult{Outcome: objstore.Retry}, errors.Join(objstore.ErrAccessDenied, errDying)
	}
	d.dead = d.last != "" && strings.HasSuffix(key, d.last)
	return d.Bucket.PutIfAbsent(ctx, key, body, attempt)
}

func (d *dying) Delete(ctx context.Context, key string) error {
	if d.dead {
		return errDying
	}
	return d.Bucket.Delete(ctx, key)
}
