// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/test/contract"
)

// rooted is a root in a directory with a writer's history: every version of two
// tables, from 1 to n.
type rooted struct {
	t   *testing.T
	dir string
	m   *manifest.Store
	by  manifest.Publisher
}

func newRooted(t *testing.T, n int) *rooted {
	t.Helper()
	r := &rooted{t: t, dir: t.TempDir()}
	if out, errs, code := run(t, "store", "claim", "--root", r.url(), "--namespace", "shop", "--name", "orders"); code != 0 || !strings.Contains(out, "claimed by shop/orders") {
		t.Fatalf("claim: %d %s%s", code, out, errs)
	}
	b, err := file.Open(r.dir, file.Options{})
	ok(t, err)
	r.m, err = manifest.Open(t.Context(), b, manifest.Options{NewID: newID, CheckpointEvery: 8})
	ok(t, err)
	r.by = manifest.Publisher{Role: manifest.RoleWriter, Process: "P1", Writer: "orders-0"}
	r.by.Epoch, err = r.m.Register(t.Context(), "orders-0", "P1", manifest.Epoch{})
	ok(t, err)
	for i := range n {
		r.publish([]string{"accounts", "ledger"}[i%2])
	}
	return r
}

func (r *rooted) url() string { return "file://" + r.dir }

func (r *rooted) publish(table string) {
	r.t.Helper()
	st := r.m.View()
	op := manifest.OperationID(newID())
	from := st.Ref(manifest.TableID(table))
	raw, err := envelope.Encode("table", 1, map[string]any{"table": table, "operation": op})
	ok(r.t, err)
	h, _, err := envelope.ParseHeader(raw)
	ok(r.t, err)
	pin := manifest.Pin{Ref: manifest.Ref{Number: from.Number + 1, Operation: op}, Digest: h.Digest}
	_, err = r.m.Bucket().PutIfAbsent(r.t.Context(), manifest.TableKey(manifest.TableID(table), pin.Number, op), raw, newID())
	ok(r.t, err)
	_, err = r.m.Publish(r.t.Context(), manifest.Publication{By: r.by, Entries: []manifest.Entry{{
		Kind: manifest.KindPublish, Operation: op, Writer: r.by.Writer, Epoch: r.by.Epoch, Base: st.Version,
		Tables: []manifest.Change{{Table: manifest.TableID(table), Expected: from, To: &pin}},
	}}})
	ok(r.t, err)
}

// age makes every object of the root look older.
func (r *rooted) age(d time.Duration) {
	r.t.Helper()
	then := time.Now().Add(-d)
	ok(r.t, filepath.WalkDir(r.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Chtimes(path, then, then)
	}))
}

// created is when publication v was put, as the log shows it.
func (r *rooted) created(v manifest.Version) string {
	r.t.Helper()
	i, err := os.Stat(filepath.Join(r.dir, manifest.Key(v)))
	ok(r.t, err)
	return i.ModTime().UTC().Format(time.RFC3339)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// says runs a command and wants its exit code and some words of its output.
func says(t *testing.T, code int, words []string, args ...string) string {
	t.Helper()
	out, errs, got := run(t, args...)
	if got != code {
		t.Errorf("salvor %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
	}
	for _, w := range words {
		if !strings.Contains(out+errs, w) {
			t.Errorf("salvor %s: no %q in\n%s%s", strings.Join(args, " "), w, out, errs)
		}
	}
	return out
}

func TestManifestCommands(t *testing.T) {
	contract.Row(t, 129)
	r := newRooted(t, 40) // versions: 1 claim, 2 register, 3 to 42
	at := []string{"--root", r.url()}
	do := func(code int, words []string, args ...string) string {
		t.Helper()
		return says(t, code, words, append(append([]string{"manifest"}, args...), at...)...)
	}
	do(0, []string{"version 42", "shop/orders", "accounts", "ledger", "orders-0"}, "show")
	do(0, []string{"42\t" + r.created(42) + "\tby orders-0\tpublish"}, "log", "--last", "2")
	do(0, []string{"from version 40 to 42", "accounts", "ledger", "publish"}, "diff", "40")
	do(2, []string{"the versions go up to 42"}, "diff", "40", "43")
	do(2, []string{"want a number"}, "diff", "newest")
	do(0, []string{"42 publications", "2 tables looked at, 0 problems"}, "verify", "--deep")
	do(0, []string{"would remove 0 publications", "held by retention"}, "gc", "--dry-run", "--keep", "4")
	r.age(26 * time.Hour)
	do(0, []string{"would remove 32 publications, 3 checkpoints, 28 table versions"}, "gc", "--dry-run", "--keep", "4")
	var did manifest.Collected
	out := do(0, nil, "gc", "--keep", "4", "-o", "json")
	ok(t, json.Unmarshal([]byte(out), &did))
	if did.Boundary != 33 || did.Publications != 32 || did.Versions != 28 || did.DryRun {
		t.Errorf("%+v", did)
	}
	do(0, []string{"versions 32 to 42: 10 publications", "0 problems"}, "verify", "--deep")
	do(2, []string{"version 20 was collected", "the oldest that can be read is 32"}, "diff", "20")
	do(0, []string{"from version 33 to 42"}, "diff", "33")
	do(0, []string{"32\t(collected)", "33\t" + r.created(33) + "\tby", "42\t" + r.created(42) + "\tby"}, "log", "--last", "20")
	do(0, []string{`{"created":"` + r.created(42)[:len("2026-11-22T10:00:0")]}, "log", "--last", "1", "-o", "json")

	do(0, []string{"version 42 is written in format 1", "knows formats up to 1"}, "format")
	do(0, []string{"is written in format 1"}, "format", "--raise", "1", "--expect-version", "7")
	do(2, []string{"--raise needs --expect-version: the root is at version 42"}, "format", "--raise", "2")
	do(2, []string{"format 2, this salvor reads up to 1: upgrade salvor; nothing was changed"}, "format", "--raise", "2", "--expect-version", "42")

	_, err := r.m.Lock(t.Context(), manifest.Publisher{Role: manifest.RoleOperator, Process: "O"},
		manifest.Lock{Owner: "M1", Reason: "database restart", Mode: manifest.Frozen, Since: time.Now(), Until: time.Now().Add(time.Hour)})
	ok(t, err)
	do(0, []string{"locked: Frozen since version 43", "by M1: database restart"}, "show")
	do(1, []string{"lost, and nothing was released", "not held by M2", "held by M1"}, "thaw", "--owner", "M2")
	do(0, []string{"thawed at version 44"}, "thaw", "--owner", "M1")
	do(1, []string{"lost, and nothing was released", "not held by M1", "ended at version 44 by release"}, "thaw", "--owner", "M1")
	says(t, 2, []string{"claimed by shop/orders"}, "store", "claim", "--root", r.url(), "--name", "other")
}

// Everything that is wrong is named in one walk, with what to do.
func TestManifestVerifyNamesEveryDefect(t *testing.T) {
	contract.Row(t, 129)
	r := newRooted(t, 40)
	path := func(key string) string { return filepath.Join(r.dir, key) }
	clean := says(t, 0, []string{"0 problems"}, "manifest", "verify", "--root", r.url())
	if !strings.Contains(clean, "5 checkpoints") {
		t.Errorf("checkpoints were not looked at: %s", clean)
	}
	flip := func(key string) {
		t.Helper()
		raw, err := os.ReadFile(path(key))
		ok(t, err)
		raw[len(raw)-3] ^= 1
		ok(t, os.WriteFile(path(key), raw, 0o600))
	}
	pin := r.m.View().Tables["ledger"]
	ok(t, os.Remove(path(manifest.Key(5))))
	flip(manifest.Key(20))
	flip(manifest.CheckpointKey(24))
	ok(t, os.Remove(path(manifest.TableKey("ledger", pin.Number, pin.Operation))))
	other := r.m.View().Tables["accounts"]
	raw, err := envelope.Encode("table", 1, "something else")
	ok(t, err)
	ok(t, os.WriteFile(path(manifest.TableKey("accounts", other.Number, other.Operation)), raw, 0o600))
	says(t, 1, []string{
		manifest.Key(5) + ": Missing", manifest.Key(20) + ": Unreadable", manifest.CheckpointKey(24) + ": Unreadable",
		manifest.TableKey("ledger", pin.Number, pin.Operation) + ": Missing",
		manifest.TableKey("accounts", other.Number, other.Operation) + ": Contradiction",
		"restore this object from a copy", "5 problems", "5 objects are not as they should be",
	}, "manifest", "verify", "--root", r.url())
	says(t, 2, []string{"no store"}, "manifest", "verify", "--root", "file://"+t.TempDir())
}
