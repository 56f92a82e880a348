// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	tail := " S 1 2 2 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000 200"
	for name, test := range map[string]struct {
		line  string
		start uint64
		ok    bool
	}{
		"plain":               {"7 (etcd)" + tail, 4711, true},
		"parentheses inside":  {"7 (a) b) (c)" + tail, 4711, true},
		"no command":          {"7 etcd S 1", 0, false},
		"too short":           {"7 (etcd) S 1 2 3", 0, false},
		"start is no number":  {"7 (etcd) S 1 2 2 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 x 1000", 0, false},
		"nothing":             {"", 0, false},
		"command with blanks": {"7 (tmux: server)" + tail, 4711, true},
	} {
		t.Run(name, func(t *testing.T) {
			state, start, err := parseStat(test.line)
			if (err == nil) != test.ok || start != test.start {
				t.Fatalf("parseStat(%q) = %q, %d, %v", test.line, state, start, err)
			}
			if test.ok && state != "S" {
				t.Fatalf("state %q", state)
			}
		})
	}
}

// A process id that came to somebody else must never be hit.
func TestReusedIDIsLeftAlone(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, stranger := range map[string]ID{
		"started earlier": {PID: id.PID, Start: id.Start - 1, Boot: id.Boot},
		"other boot":      {PID: id.PID, Start: id.Start, Boot: "another"},
	} {
		if stranger.Alive() {
			t.Errorf("%s: a stranger counts as alive", name)
		}
		if err := stranger.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("%s: signal: %v", name, err)
		}
		if err := End(context.Background(), []ID{stranger}, 0); err != nil {
			t.Errorf("%s: end: %v", name, err)
		}
	}
	if !id.Alive() {
		t.Fatal("the process was hit by a signal for another")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := End(ctx, []ID{id}, 0); err != nil {
		t.Fatal(err)
	}
	if id.Alive() {
		t.Fatal("the right identity does not hit")
	}
}

// A process that does not hear SIGTERM ends all the same.
func TestEndInsists(t *testing.T) {
	cmd := exec.Command("sh", "-c", "trap '' TERM; echo ready; sleep 60")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := End(ctx, []ID{id}, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
}

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	want := Record{ID: ID{PID: 5, Start: 6, Boot: "b"}, Name: "etcd", Argv: []string{"/bin/etcd", "--x"}}
	if err := want.Write(filepath.Join(dir, "etcd.json")); err != nil {
		t.Fatal(err)
	}
	all, err := ReadAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := all[filepath.Join(dir, "etcd.json")]
	if got.ID != want.ID || got.Name != want.Name || len(got.Argv) != 2 {
		t.Fatalf("got %+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAll(dir); err == nil {
		t.Fatal("a damaged record must not be passed over: its process would stay")
	}
	if all, err := ReadAll(filepath.Join(dir, "none")); err != nil || len(all) != 0 {
		t.Fatalf("absent folder: %v, %v", all, err)
	}
}
