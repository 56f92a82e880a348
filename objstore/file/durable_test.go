// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// trace records every step that makes something durable or visible, as
// "verb path below the root".
func trace(b *Bucket) *[]string {
	var steps []string
	note := func(verb, path string) {
		rel, err := filepath.Rel(b.root, path)
		if err != nil || strings.HasPrefix(rel, "..") {
			rel = path
		}
		steps = append(steps, verb+" "+rel)
	}
	real := b.sys
	b.sys.write = func(f *os.File, body []byte) error { steps = append(steps, "write"); return real.write(f, body) }
	b.sys.syncFile = func(f *os.File) error { steps = append(steps, "fsync"); return real.syncFile(f) }
	b.sys.syncDir = func(dir string) error { note("syncdir", dir); return real.syncDir(dir) }
	b.sys.mkdir = func(dir string) error { note("mkdir", dir); return real.mkdir(dir) }
	b.sys.linkUnnamed = func(f *os.File, name string) error { note("link", name); return real.linkUnnamed(f, name) }
	b.sys.linkNamed = func(tmp, name string) error { note("link", name); return real.linkNamed(tmp, name) }
	return &steps
}

func expectSteps(t *testing.T, steps *[]string, want ...string) {
	t.Helper()
	got := slices.DeleteFunc(*steps, func(s string) bool { return s == "mkdir "+tmpDir })
	if !slices.Equal(got, want) {
		t.Fatalf("\n got %q\nwant %q", got, want)
	}
	*steps = nil
}

func TestABodyIsDurableBeforeItsNameAndTheNameBeforeTheAnswer(t *testing.T) {
	for name, o := range ways {
		t.Run(name, func(t *testing.T) {
			b := open(t, t.TempDir(), o)
			steps := trace(b)
			put(t, b, "a/b/one")
			expectSteps(t, steps,
				"mkdir a", "syncdir .", "mkdir a/b", "syncdir a",
				"write", "fsync", "link a/b/one", "syncdir a/b")
			put(t, b, "a/b/two") // the directories are durable by now
			expectSteps(t, steps, "write", "fsync", "link a/b/two", "syncdir a/b")
			put(t, b, "top")
			expectSteps(t, steps, "write", "fsync", "link top", "syncdir .")
			if err := b.Delete(t.Context(), "a/b/one"); err != nil {
				t.Fatal(err)
			}
			expectSteps(t, steps, "syncdir a/b")
		})
	}
}

// A second process finds directories that the first may have made and not synced.
func TestADirectoryFoundIsSyncedOnceToo(t *testing.T) {
	dir := t.TempDir()
	put(t, open(t, dir, Options{}), "a/b/one")
	b := open(t, dir, Options{})
	steps := trace(b)
	put(t, b, "a/b/two")
	expectSteps(t, steps, "mkdir a", "syncdir .", "mkdir a/b", "syncdir a", "write", "fsync", "link a/b/two", "syncdir a/b")
}

func TestANewRootIsDurable(t *testing.T) {
	top := t.TempDir()
	var synced []string
	b := &Bucket{root: filepath.Join(top, "x", "y"), now: time.Now, sys: realSystem}
	b.sys.syncDir = func(dir string) error { synced = append(synced, strings.TrimPrefix(dir, top)); return nil }
	if err := b.makeRoot(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(synced, []string{"", "/x"}) {
		t.Fatalf("synced %q", synced)
	}
}

func TestFailedSyncOfTheDirectoryIsUnknownAndTheNextPutTellsTheTruth(t *testing.T) {
	for name, o := range ways {
		t.Run(name, func(t *testing.T) {
			b := open(t, t.TempDir(), o)
			put(t, b, "a/first")
			b.sys.syncDir = func(string) error { return syscall.EIO }
			r, err := b.PutIfAbsent(t.Context(), "a/b", []byte("x"), "")
			if r.Outcome != objstore.Unknown || !errors.Is(err, syscall.EIO) || !r.Date.IsZero() {
				t.Fatalf("%+v, %v; want Unknown, EIO, no date", r, err)
			}
			// It is there, but nobody may say so while it is not durable.
			if r, err = b.PutIfAbsent(t.Context(), "a/b", []byte("x"), ""); r.Outcome != objstore.Unknown || err == nil {
				t.Fatalf("%v, %v; want Unknown", r.Outcome, err)
			}
			b.sys = realSystem
			if r, err = b.PutIfAbsent(t.Context(), "a/b", []byte("x"), ""); r.Outcome != objstore.Exists || err != nil {
				t.Fatalf("%v, %v; want Exists", r.Outcome, err)
			}
		})
	}
}

func TestFailedSyncOfANewDirectoryIsRetry(t *testing.T) {
	b := open(t, t.TempDir(), Options{})
	b.sys.syncDir = func(string) error { return syscall.EIO }
	r, err := b.PutIfAbsent(t.Context(), "a/b", []byte("x"), "")
	if r.Outcome != objstore.Retry || !errors.Is(err, syscall.EIO) {
		t.Fatalf("%v, %v; want Retry, EIO", r.Outcome, err)
	}
	b.sys = realSystem
	steps := trace(b)
	put(t, b, "a/b")
	expectSteps(t, steps, "mkdir a", "syncdir .", "write", "fsync", "link a/b", "syncdir a")
}

// The writer's name is visible and not yet durable: whoever reads it syncs first.
func TestWhatAReaderSeesIsDurable(t *testing.T) {
	dir := t.TempDir()
	writer := open(t, dir, Options{})
	put(t, writer, "manifest/1")
	writer.sys.syncDir = func(string) error { return nil } // as if it stood before the sync
	put(t, writer, "manifest/2")

	for verb, read := range map[string]func(b *Bucket) error{
		"get":       func(b *Bucket) error { _, err := b.Get(t.Context(), "manifest/2"); return err },
		"get range": func(b *Bucket) error { _, err := b.GetRange(t.Context(), "manifest/2", 0, 1); return err },
		"list": func(b *Bucket) error {
			for _, err := range b.List(t.Context(), "manifest/", "") {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"put": func(b *Bucket) error { _, err := b.PutIfAbsent(t.Context(), "manifest/2", nil, ""); return err },
	} {
		reader := open(t, dir, Options{})
		var synced []string
		reader.sys.syncDir = func(dir string) error { synced = append(synced, filepath.Base(dir)); return nil }
		if err := read(reader); err != nil || !slices.Contains(synced, "manifest") {
			t.Errorf("%s synced %q, %v; want manifest", verb, synced, err)
		}
		reader.sys.syncDir = func(string) error { return syscall.EIO }
		reader.forget(filepath.Join(dir, "manifest"))
		if err := read(reader); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s, when the sync fails: %v; want EIO", verb, err)
		}
	}
}

// Reading what was durable long ago costs no sync.
func TestAnOldNameIsNotSyncedAgain(t *testing.T) {
	now := time.Now()
	b := open(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	put(t, b, "manifest/1")
	now = now.Add(time.Minute)
	steps := trace(b)
	for range 3 {
		if _, err := b.Get(t.Context(), "manifest/1"); err != nil {
			t.Fatal(err)
		}
		for _, err := range b.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	expectSteps(t, steps, "syncdir manifest") // the first time only
}
