// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/test/contract"
)

// stranded is a root in a directory whose writer "w" died with both its new versions
// there, and nobody to confirm them; and a directory with audit keys.
func stranded(t *testing.T) (root, keys string, op manifest.OperationID) {
	t.Helper()
	dir, keys := t.TempDir(), t.TempDir()
	ok(t, os.WriteFile(filepath.Join(keys, "k1"), []byte("0123456789abcdef"), 0o600))
	ok(t, os.WriteFile(filepath.Join(keys, "current"), []byte("k1"), 0o600))
	disk, err := file.Open(dir, file.Options{})
	ok(t, err)
	_, err = manifest.CreateIdentity(t.Context(), disk, "uid", "attempt", nil)
	ok(t, err)
	dying := fault.Wrap(disk)
	dying.On(fault.PutIfAbsent, recovery.Prefix).Nth(2).Crash(fault.Before)
	m, err := manifest.Open(t.Context(), dying, manifest.Options{NewID: newID})
	ok(t, err)
	w := recovery.NewWriter(m, recovery.WriterOptions{ID: "w", Process: "P1", NewID: newID, Await: 1})
	ok(t, w.Register(t.Context()))
	o := recovery.Operation{Kind: recovery.KindCheckpoint}
	for _, table := range []string{"x", "y"} {
		o.Changes = append(o.Changes, recovery.Change{Table: manifest.TableID(table), Write: func(ctx context.Context, v recovery.TableVersion) (string, error) {
			raw, err := envelope.Encode("table", 1, table)
			if err != nil {
				return "", err
			}
			_, err = dying.PutIfAbsent(ctx, v.Object, raw, newID())
			h, _, _ := envelope.ParseHeader(raw)
			return h.Digest, err
		}})
	}
	r, err := w.Commit(t.Context(), o)
	if err == nil {
		t.Fatal("it survived its crash")
	}
	return "file://" + dir, keys, r.Operation
}

var hashIn = regexp.MustCompile(`--yes (sha256:[0-9a-f]{64})`)

// What a person decides: refused while anybody stands in the way and without the word
// for just what is there; done once, under their name.
func TestDemoteAndPromoteCommands(t *testing.T) {
	contract.Row(t, 116, 118)
	for _, word := range []string{"--demote", "--promote"} {
		t.Run(word, func(t *testing.T) {
			root, keys, op := stranded(t)
			dir := strings.TrimPrefix(root, "file://")
			what, other := "w", string(op)
			if word == "--promote" {
				what, other = other, what
			}
			do := func(code int, words string, args ...string) string {
				t.Helper()
				out, got := inProcess(t, append([]string{"recover", "--root", root, "--keys", keys}, args...)...)
				if got != code || !strings.Contains(out, words) {
					t.Errorf("%v: code %d, want %d and %q in:\n%s", args, got, code, words, out)
				}
				return out
			}
			before := files(t, dir)
			do(2, "say one of them", "--demote", "w", "--promote", string(op), "--end-epochs")
			do(2, "say one of them", word, what, "--plan-hash", "sha256:x", "--approver", "ada")
			do(2, "--yes agrees to a --demote or a --promote", "--yes", "sha256:x")
			do(2, "say who does, --approver", word, what, "--end-epochs", "--yes", "sha256:x")
			do(1, "writer w lives, as far as the manifest says: process P1 holds its epoch 1", word, what)
			do(1, "writer w lives", word, what, "--approver", "ada", "--yes", "sha256:x")
			says := do(1, "nothing was done: it takes your word", word, what, "--end-epochs")
			hash := hashIn.FindStringSubmatch(says)
			if hash == nil || !strings.Contains(says, string(op)) || !strings.Contains(says, "x: version 1-"+string(op)) || !strings.Contains(says, "y: version 1-") {
				t.Fatalf("it does not name what it is about:\n%s", says)
			}
			do(1, "is not what is there now", word, what, "--end-epochs", "--approver", "ada", "--yes", "sha256:"+strings.Repeat("0", 64))
			asJSON, _ := inProcess(t, "recover", "--root", root, "--keys", keys, word, what, "--end-epochs", "-o", "json")
			var told weighedWord
			ok(t, json.NewDecoder(strings.NewReader(asJSON)).Decode(&told))
			if told.Yes != hash[1] || len(told.Operations) != 1 || len(told.Operations[0].Tables) != 2 {
				t.Errorf("%+v", told)
			}
			if word == "--promote" {
				do(1, "is not pending, and the manifest remembers no outcome", "--promote", "01M0000000000000000000000A")
			} else {
				do(1, "this store has no writer nobody", "--demote", "nobody")
			}

			// Somebody holds the store.
			m, err := (&rootFlags{root: root, output: "text"}).manifest(t.Context())
			ok(t, err)
			by := manifest.Publisher{Role: manifest.RoleOperator, Process: "O"}
			_, err = m.Lock(t.Context(), by, manifest.Lock{Owner: "maintenance/move/U1", Reason: "storage migration", Mode: manifest.Frozen, Since: time.Now(), Until: time.Now().Add(time.Hour)})
			ok(t, err)
			do(1, "by maintenance/move/U1 (storage migration)", word, what, "--end-epochs", "--approver", "ada", "--yes", hash[1])
			_, err = m.Release(t.Context(), by, "maintenance/move/U1")
			ok(t, err)
			for name, was := range files(t, dir) {
				if _, there := before[name]; !there && !strings.Contains(name, "/manifest/") || there && before[name] != was {
					t.Errorf("a refusal wrote %s", name)
				}
			}

			do(0, string(op)+"\tcomplete", word, what, "--end-epochs", "--approver", "ada", "--yes", hash[1])
			kind, reason := audit.RolledBack, "Demoted"
			if word == "--promote" {
				kind, reason = audit.RolledForward, "Promoted"
				do(1, "is not pending: publish in manifest", word, what)
			} else {
				do(0, "writer w left nothing", word, what)
			}
			out, _ := inProcess(t, "audit", "ls", "--root", root, "-o", "json")
			var row audit.Row
			ok(t, json.Unmarshal([]byte(out), &row)) // one, or it does not parse
			if row.Kind != kind || row.Actor != "ada" || row.Reason != reason || row.Operation != string(op) {
				t.Errorf("%+v", row)
			}
			if out, code := inProcess(t, "audit", "verify", "--root", root, "--keys", keys); code != 0 {
				t.Errorf("code %d\n%s", code, out)
			}
			do(0, "nothing is pending (0 resolved)")
		})
	}
}
