// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package notes_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/conformance"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/examples/notes"
	"github.com/salvor-io/salvor/examples/notes/before"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery"
)

func newID() string { return ulid.Make().String() }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open starts a process of the store notes-0.
func open(t *testing.T, dir string, root objstore.Bucket) *notes.Notes {
	t.Helper()
	n, err := notes.Open(t.Context(), notes.Options{
		Dir: dir, Writer: "notes-0", Process: manifest.ProcessID(newID()), NewID: newID, NewLogID: func() [16]byte { return ulid.Make() },
		Root: root, Every: time.Hour,
	})
	ok(t, err)
	return n
}

func has(t *testing.T, n interface{ Get(string) (string, bool) }, want ...string) {
	t.Helper()
	for i := 0; i < len(want); i += 2 {
		if text, _ := n.Get(want[i]); text != want[i+1] {
			t.Errorf("%s is %q, want %q", want[i], text, want[i+1])
		}
	}
}

// The store of before does what it did, and loses what it lost.
func TestBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.json")
	n, err := before.Open(path)
	ok(t, err)
	ok(t, n.Put("milk", "two"))
	n, err = before.Open(path)
	ok(t, err)
	has(t, n, "milk", "two")
	raw, err := os.ReadFile(path)
	ok(t, err)
	ok(t, os.WriteFile(path, raw[:len(raw)/2], 0o600)) // a crash in the middle
	if _, err := before.Open(path); err == nil {
		t.Error("half a file was read")
	}
}

// The process dies at every durable write of a checkpoint, and so does its disk or it does
// not: an operator finishes or closes the checkpoint, and the next process has everything.
func TestACrashAnywhereLosesNothing(t *testing.T) {
	writes := 0
	for at := 1; writes == 0 || at <= writes; at++ {
		for _, moment := range []fault.Moment{fault.Before, fault.Unacknowledged} {
			disk, dir := mem.New(mem.Options{}), t.TempDir()
			root := fault.Wrap(disk)
			n := open(t, dir, root)
			ok(t, n.Put("milk", "one"))
			ok(t, n.Checkpoint(t.Context()))
			ok(t, n.Put("milk", "two"))
			ok(t, n.Put("bread", "one"))
			before := root.DurableWrites()
			if writes == 0 {
				ok(t, n.Checkpoint(t.Context()))
				if writes = root.DurableWrites() - before; writes < 5 {
					t.Fatalf("a checkpoint has %d durable writes", writes)
				}
			} else {
				root.CrashAt(fault.CrashPoint{Write: before + at, Moment: moment})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- n.Checkpoint(ctx) }()
				<-root.Crashed()
				cancel()
				<-done
			}
			ok(t, n.Close()) // of the process that has died: its lock goes with it
			recoverAll(t, disk)
			n = open(t, dir, disk)
			has(t, n, "milk", "two", "bread", "one")
			ok(t, n.Put("jam", "three"))
			ok(t, n.Checkpoint(t.Context()))
			ok(t, n.Close())
			lost := open(t, t.TempDir(), disk) // and the root alone has all of it
			has(t, lost, "milk", "two", "bread", "one", "jam", "three")
			ok(t, lost.Close())
			conforms(t, disk)
		}
	}
}

// recoverAll is the operator, which ends the epochs of the dead.
func recoverAll(t *testing.T, b objstore.Bucket) {
	t.Helper()
	keys, err := audit.NewKeyring(map[string][]byte{"current": []byte("k1"), "k1": bytes.Repeat([]byte("k"), 32)})
	ok(t, err)
	trail, err := audit.Open(b, "main", keys, audit.Options{Recoverer: "operator"})
	ok(t, err)
	m, err := manifest.Open(t.Context(), b, manifest.Options{NewID: newID})
	ok(t, err)
	r := recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: "operator"})
	listed, err := recovery.List(t.Context(), b)
	ok(t, err)
	for _, l := range listed {
		rep, err := r.Recover(t.Context(), l.Key, recovery.RollForwardOnly{EndEpoch: true})
		ok(t, err)
		if !rep.Complete {
			t.Fatalf("%s stays: %+v", l.Key, rep.Verdict)
		}
	}
}

// conforms checks every object of the root against docs/protocol.md.
func conforms(t *testing.T, b objstore.Bucket) {
	t.Helper()
	rep, err := conformance.CheckRoot(t.Context(), b, nil)
	ok(t, err)
	if len(rep.Violations) > 0 || rep.Pending > 0 {
		t.Fatalf("%+v", rep)
	}
}

// The log is cut behind the checkpoints.
func TestTheLogDoesNotGrow(t *testing.T) {
	n := open(t, t.TempDir(), mem.New(mem.Options{}))
	text := strings.Repeat("x", 1<<20)
	for i := range 80 {
		ok(t, n.Put("milk", fmt.Sprint(i, text)))
		if i%8 == 0 {
			ok(t, n.Checkpoint(t.Context()))
		}
	}
	if st := n.Status(); st.Oldest == 1 || st.LogBytes > 60<<20 {
		t.Errorf("%+v", st)
	}
	ok(t, n.Close())
}

// An operator holds the store, is told when it has drained, and thaws it; a fence costs a
// registration; a second process of this name ends the first.
func TestWhatTheOperatorSees(t *testing.T) {
	root, dir := mem.New(mem.Options{}), t.TempDir()
	n := open(t, dir, root)
	ok(t, n.Put("milk", "one"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	srv := httptest.NewServer(control.NewServer(n, control.ServerOptions{}))
	defer srv.Close()
	m, err := manifest.Open(t.Context(), root, manifest.Options{NewID: newID})
	ok(t, err)
	admin := manifest.Publisher{Role: manifest.RoleOperator, Process: "admin"}
	addr := strings.TrimPrefix(srv.URL, "http://")
	stream, err := control.Dial(t.Context(), addr, control.DialOptions{Patience: time.Minute, Timeout: time.Minute})
	ok(t, err)
	defer stream.Close()
	until := func(what string, is func(control.Status) bool) control.Status {
		t.Helper()
		n.Refresh()
		for {
			st, err := stream.Next()
			if err != nil {
				t.Fatalf("waiting until %s: %v", what, err)
			}
			if is(st) {
				return st
			}
		}
	}
	until("it has published", func(st control.Status) bool { return st.State == control.Serving && st.Published == 1 && st.Durable == 1 })
	_, err = m.Lock(t.Context(), admin, manifest.Lock{Owner: "M1", Reason: "the disk is exchanged", Mode: manifest.Draining, Until: time.Now().Add(time.Hour)})
	ok(t, err)
	until("it has drained", func(st control.Status) bool { return st.Lock == "M1" && st.State == control.Draining && st.InFlight == 0 })
	if err := n.Put("milk", "two"); err == nil || !strings.Contains(err.Error(), "the disk is exchanged") {
		t.Errorf("a write under a lock: %v", err)
	}
	has(t, n, "milk", "one")
	_, err = m.Release(t.Context(), admin, "M1")
	ok(t, err)
	until("it goes on", func(st control.Status) bool { return st.Lock == "" && st.State == control.Serving })
	ok(t, n.Put("milk", "two"))
	next := open(t, t.TempDir(), root) // on another disk: two processes of one name
	n.Refresh()
	if err := <-ended; err == nil {
		t.Error("the older process did not end")
	}
	cancel()
	ok(t, n.Close())
	ok(t, next.Close())
	conforms(t, root)
}

// Every piece of Go in the page is in this package, so that it is compiled and run.
func TestThePageShowsThisCode(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "embedding.md"))
	ok(t, err)
	code := ""
	for _, pattern := range []string{"*.go", "before/*.go"} {
		files, err := filepath.Glob(pattern)
		ok(t, err)
		for _, f := range files {
			raw, err := os.ReadFile(f)
			ok(t, err)
			code += string(raw)
		}
	}
	pieces := strings.Split(string(raw), "```go\n")[1:]
	for _, p := range pieces {
		p, _, _ = strings.Cut(p, "```")
		for _, run := range strings.Split(p, "\n// ...\n") {
			if run = strings.Trim(run, "\n"); !strings.Contains(code, run) {
				t.Errorf("the page shows what is not in examples/notes:\n%s", run)
			}
		}
	}
	if len(pieces) < 6 {
		t.Errorf("only %d pieces of code were found", len(pieces))
	}
}
