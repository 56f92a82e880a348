// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/test/contract"
)

// Who did what to which table, from which version to which: for people and for
// programs, by the commands alone.
func TestRecoveriesCanBeAskedFor(t *testing.T) {
	contract.Row(t, 100)
	dir, op := half(t)
	root, keys := "file://"+dir, t.TempDir()
	ok(t, os.WriteFile(filepath.Join(keys, "k1"), []byte("0123456789abcdef"), 0o600))
	ok(t, os.WriteFile(filepath.Join(keys, "current"), []byte("k1"), 0o600))
	if out, code := inProcess(t, "audit", "ls", "--root", root); code != 0 || strings.Count(out, "\n") != 1 {
		t.Errorf("before: code %d\n%s", code, out)
	}
	var plans []planned
	out, _ := inProcess(t, "plan", "--root", root, "--end-epochs", "-o", "json")
	ok(t, json.NewDecoder(strings.NewReader(out)).Decode(&plans))
	recover := []string{"recover", "--root", root, "--keys", keys, "--end-epochs"}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitBad, "1 of 1 operations are still pending"},
		{[]string{"--plan-hash", plans[0].PlanHash}, exitCannotRun, "say who has looked at it, --approver"},
		{[]string{"--plan-hash", "sha256:other", "--approver", "ada"}, exitBad, "1 of 1 operations are still pending"},
		{[]string{"--plan-hash", plans[0].PlanHash, "--approver", "ada"}, 0, "nothing is pending (1 resolved)"},
	} {
		if out, code := inProcess(t, append(recover, c.args...)...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%v: code %d, want %d and %q in\n%s", c.args, code, c.code, c.says, out)
		}
	}
	out, code := inProcess(t, "audit", "ls", "--root", root, "-o", "json")
	var row audit.Row
	ok(t, json.Unmarshal([]byte(out), &row))
	if code != 0 || row.Kind != audit.RolledBack || row.Actor != "ada" || row.Operation != string(op) || row.WriterKind != "foreign" || row.Writer != "w" ||
		len(row.Tables) != 2 || row.Tables[0].Table != "x" || row.Tables[0].From != "2-"+string(op) || !strings.HasPrefix(row.Tables[0].To, "3-") {
		t.Errorf("code %d: %+v", code, row)
	}
	out, code = inProcess(t, "audit", "ls", "--root", root, "--tables")
	for _, words := range []string{"RolledBack", string(op), "ada", row.Tables[0].From + " -> " + row.Tables[0].To} {
		if code != 0 || !strings.Contains(out, words) {
			t.Errorf("code %d, no %q in\n%s", code, words, out)
		}
	}
	if out, code := inProcess(t, "audit", "verify", "--root", root, "--keys", keys); code != 0 {
		t.Errorf("code %d\n%s", code, out)
	}
}
