// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/test/contract"
)

// A real process with a mirror is killed and its directory removed: the next one has
// everything that was mirrored, and the commands show it without any process.
func TestALostDirectoryComesBackFromTheMirror(t *testing.T) {
	contract.Row(t, 59)
	dir := t.TempDir()
	root := "file://" + filepath.Join(dir, "root")
	args := []string{"--root", root, "--recover", "self", "--checkpoint-interval", "1h", "--mirror-interval", "100ms"}
	p := serveIn(t, "", dir, args...)
	for n := range 20 {
		body := fmt.Sprintf(`{"statements":[{"op":"put","table":"t","key":"%02d","row":{"n":%d}}]}`, n, n)
		r, err := http.Post("http://"+p.api+"/v1/transactions", "application/json", strings.NewReader(body))
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", r, err)
		}
		_ = r.Body.Close()
	}
	mirrorOf(t, p, func(m *control.Mirror) bool { return m != nil && m.Position == 20 })
	p.end()
	show := func(want string, code int) {
		t.Helper()
		out, errs, is := run(t, "store", "mirror", "show", "--root", root, "--deep")
		if is != code || !strings.Contains(out, want) {
			t.Fatalf("%d, want %d: %s%s", is, code, out, errs)
		}
	}
	show("mirror of ledger-0: up to position 20, from the checkpoints at 0 and ", 0)
	if err := os.RemoveAll(filepath.Join(dir, "data", "log")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "data", "store.json")); err != nil {
		t.Fatal(err)
	}
	p = serveIn(t, "", dir, args...)
	mirrorOf(t, p, func(m *control.Mirror) bool { return m != nil && m.Restored == 20 })
	r, err := http.Get("http://" + p.api + "/v1/tables/t/rows")
	if err != nil {
		t.Fatal(err)
	}
	var page struct{ Rows []json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&page); err != nil || len(page.Rows) != 20 {
		t.Fatalf("%d rows: %v", len(page.Rows), err)
	}
	_ = r.Body.Close()
	p.end()

	// A range is damaged: the commands say which, and drop lets the writer go on without.
	ranges, err := filepath.Glob(filepath.Join(dir, "root", "wal", "ledger-0", "*", "*-*"))
	if err != nil || len(ranges) == 0 {
		t.Fatalf("%q %v", ranges, err)
	}
	if err := os.Remove(ranges[0]); err != nil {
		t.Fatal(err)
	}
	show("NOT WHOLE", 1)
	if out, errs, code := run(t, "manifest", "verify", "--root", root); code != 1 || !strings.Contains(out, "wal/ledger-0") || !strings.Contains(out, "has a hole") {
		t.Fatalf("%d: %s%s", code, out, errs)
	}
	if _, errs, code := run(t, "store", "mirror", "drop", "--root", root, "--writer", "ledger-0"); code == 0 || !strings.Contains(errs, "say --yes") {
		t.Fatalf("%d: %s", code, errs)
	}
	if out, errs, code := run(t, "store", "mirror", "drop", "--root", root, "--writer", "ledger-0", "--yes"); code != 0 || !strings.Contains(out, "removed ") {
		t.Fatalf("%d: %s%s", code, out, errs)
	}
	if out, errs, code := run(t, "manifest", "verify", "--root", root); code != 0 {
		t.Fatalf("%d: %s%s", code, out, errs)
	}
}

// mirrorOf waits until the status of a process says what is wanted of its mirror.
func mirrorOf(t *testing.T, p *pod, ok func(*control.Mirror) bool) {
	t.Helper()
	s, err := control.Dial(t.Context(), p.control, control.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for {
		st, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if ok(st.Mirror) {
			return
		}
	}
}

// What a mirror's flags may be.
func TestMirrorFlags(t *testing.T) {
	for _, c := range []struct{ interval, says string }{{"1ms", "want 0, or 100ms at least"}, {"-1s", "want 0, or 100ms at least"}} {
		_, errs, code := run(t, "store", "serve", "--data-dir", t.TempDir(), "--writer", "w", "--root", "file:///nowhere", "--mirror-interval", c.interval)
		if code == 0 || !strings.Contains(errs, c.says) {
			t.Errorf("%s: %d %s", c.interval, code, errs)
		}
	}
}
