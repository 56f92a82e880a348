// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/objstoretest"
)

func open(t *testing.T, dir string, o Options) *Bucket {
	t.Helper()
	b, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, b objstore.Bucket, key string) {
	t.Helper()
	if r, err := b.PutIfAbsent(t.Context(), key, []byte("x"), ""); r.Outcome != objstore.Created {
		t.Fatalf("put %s: %v, %v", key, r.Outcome, err)
	}
}

// ways are the two ways a body gets its name.
var ways = map[string]Options{"O_TMPFILE": {}, "named": {NamedTemp: true}}

func TestAcceptance(t *testing.T) {
	for name, o := range ways {
		t.Run(name, func(t *testing.T) {
			objstoretest.Acceptance(t, func() objstore.Bucket { return open(t, t.TempDir(), o) })
		})
	}
}

func TestWhichWayIsTakenHere(t *testing.T) {
	b := open(t, t.TempDir(), Options{})
	put(t, b, "a/b")
	if b.named.Load() {
		t.Log("this file system has no O_TMPFILE: both ways are the named one in these tests")
	}
}

// TestManyProcesses races buckets in processes of their own on one directory.
func TestManyProcesses(t *testing.T) {
	if dir := os.Getenv("SALVOR_TEST_RACE_DIR"); dir != "" {
		raceChild(t, dir)
		return
	}
	for name := range ways {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var out [4]strings.Builder
			var wg sync.WaitGroup
			for i := range out {
				wg.Go(func() {
					cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestManyProcesses$", "-test.v=false")
					cmd.Env = append(os.Environ(), "SALVOR_TEST_RACE_DIR="+dir, "SALVOR_TEST_RACE_WAY="+name)
					cmd.Stdout, cmd.Stderr = &out[i], &out[i]
					if err := cmd.Run(); err != nil {
						t.Errorf("child: %v\n%s", err, out[i].String())
					}
				})
			}
			wg.Wait()
			created := map[string]int{}
			for i := range out {
				for line := range strings.Lines(out[i].String()) {
					if key, ok := strings.CutPrefix(line, "created "); ok {
						created[strings.TrimSpace(key)]++
					}
				}
			}
			for i := range raceKeys {
				if n := created[raceKey(i)]; n != 1 {
					t.Errorf("%s was Created %d times", raceKey(i), n)
				}
			}
		})
	}
}

const raceKeys = 200

func raceKey(i int) string { return fmt.Sprintf("manifest/d%d/%020d", i%10, i) }

func raceChild(t *testing.T, dir string) {
	b := open(t, dir, ways[os.Getenv("SALVOR_TEST_RACE_WAY")])
	for i := range raceKeys {
		r, err := b.PutIfAbsent(t.Context(), raceKey(i), []byte(fmt.Sprint(os.Getpid())), "")
		switch {
		case r.Outcome == objstore.Created:
			fmt.Println("created", raceKey(i))
			o, err := b.Get(t.Context(), raceKey(i))
			if err != nil || string(o.Body) != fmt.Sprint(os.Getpid()) {
				t.Fatalf("read back %q, %v", o.Body, err)
			}
		case r.Outcome != objstore.Exists || err != nil:
			t.Fatalf("put: %v, %v", r.Outcome, err)
		}
	}
}

func TestNoSpaceBeforeTheNameIsRetryWithTheCause(t *testing.T) {
	for name, o := range ways {
		for _, step := range []string{"write", "sync", "link"} {
			t.Run(name+"/"+step, func(t *testing.T) {
				b := open(t, t.TempDir(), o)
				full := &os.PathError{Op: step, Path: "disk", Err: syscall.ENOSPC}
				switch step {
				case "write":
					b.sys.write = func(f *os.File, body []byte) error { _, _ = f.Write(body[:1]); return full }
				case "sync":
					b.sys.syncFile = func(*os.File) error { return full }
				case "link":
					b.sys.linkUnnamed = func(*os.File, string) error { return linkError(full) }
					b.sys.linkNamed = func(string, string) error { return full }
				}
				r, err := b.PutIfAbsent(t.Context(), "a/b", []byte("body"), "")
				if r.Outcome != objstore.Retry || !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("%v, %v; want Retry, ENOSPC", r.Outcome, err)
				}
				assertNoObject(t, b)
				b.sys = realSystem
				put(t, b, "a/b")
			})
		}
	}
}

func TestFailedLinkThatMayHaveLandedIsUnknown(t *testing.T) {
	for name, o := range ways {
		t.Run(name, func(t *testing.T) {
			b := open(t, t.TempDir(), o)
			b.sys.linkUnnamed = func(*os.File, string) error { return linkError(syscall.EIO) }
			b.sys.linkNamed = func(string, string) error { return syscall.EIO }
			r, err := b.PutIfAbsent(t.Context(), "a", nil, "")
			if r.Outcome != objstore.Unknown || !errors.Is(err, syscall.EIO) || !r.Date.IsZero() {
				t.Fatalf("%+v, %v; want Unknown, EIO, no date", r, err)
			}
		})
	}
}

// A network file system sent the link twice and answers for the second.
func TestLinkThatWasOursAllAlongIsCreated(t *testing.T) {
	b := open(t, t.TempDir(), Options{NamedTemp: true})
	b.sys.linkNamed = func(tmp, name string) error {
		if err := os.Link(tmp, name); err != nil {
			return err
		}
		return os.Link(tmp, name)
	}
	put(t, b, "a")
	if r, err := b.PutIfAbsent(t.Context(), "a", []byte("x"), ""); r.Outcome != objstore.Exists || err != nil {
		t.Fatalf("%v, %v; want Exists for another file", r.Outcome, err)
	}
}

func TestEndedContextBeforeTheNameLeavesNothing(t *testing.T) {
	for name, o := range ways {
		t.Run(name, func(t *testing.T) {
			b := open(t, t.TempDir(), o)
			ctx, cancel := context.WithCancel(t.Context())
			b.sys.syncFile = func(*os.File) error { cancel(); return nil }
			r, err := b.PutIfAbsent(ctx, "a", nil, "")
			if r.Outcome != objstore.Retry || !errors.Is(err, context.Canceled) {
				t.Fatalf("%v, %v; want Retry, canceled", r.Outcome, err)
			}
			assertNoObject(t, b)
		})
	}
}

func assertNoObject(t *testing.T, b *Bucket) {
	t.Helper()
	for e, err := range b.List(t.Context(), "", "") {
		t.Fatalf("listed %q, %v; want nothing", e.Key, err)
	}
}

func TestWhatCrashesLeaveIsNotListedAndSweptAfterADay(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{NamedTemp: true})
	put(t, b, "a")
	left := filepath.Join(dir, tmpDir, "LEFTBYACRASH")
	if err := os.WriteFile(left, []byte("half a bo"), 0o600); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for e, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	if len(keys) != 1 || keys[0] != "a" {
		t.Fatalf("listed %q", keys)
	}
	open(t, dir, Options{})
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("swept while somebody may be writing it: %v", err)
	}
	open(t, dir, Options{Now: func() time.Time { return time.Now().Add(25 * time.Hour) }})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("still there after a day: %v", err)
	}
}

func TestAKeyIsNoDirectoryOfAnother(t *testing.T) {
	for name, o := range ways {
		t.Run(name, func(t *testing.T) {
			b := open(t, t.TempDir(), o)
			put(t, b, "a/b")
			for _, key := range []string{"a", "a/b/c", "a/b/c/d"} {
				r, err := b.PutIfAbsent(t.Context(), key, nil, "")
				if r.Outcome != objstore.Retry || !errors.Is(err, objstore.ErrInvalidKey) {
					t.Errorf("put %s: %v, %v; want Retry, ErrInvalidKey", key, r.Outcome, err)
				}
			}
		})
	}
}

func TestOtherFilesAreNoObjects(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	put(t, b, "a")
	if err := os.Mkdir(filepath.Join(dir, lostAndFound), 0); err != nil {
		t.Fatal(err)
	}
	_ = os.Symlink("a", filepath.Join(dir, "link"))
	_ = os.WriteFile(filepath.Join(dir, "not a key"), nil, 0o600)
	n := 0
	for e, err := range b.List(t.Context(), "", "") {
		if n++; err != nil || e.Key != "a" {
			t.Errorf("listed %q, %v", e.Key, err)
		}
	}
	if n != 1 {
		t.Errorf("listed %d entries", n)
	}
	if _, err := b.PutIfAbsent(t.Context(), "lost+found/x", nil, ""); !errors.Is(err, objstore.ErrInvalidKey) {
		t.Errorf("put into lost+found: %v", err)
	}
}

func TestAMissingRootIsNotAnEmptyBucket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "root")
	if _, err := Open(dir, Options{MustExist: true}); !errors.Is(err, objstore.ErrNoSuchBucket) {
		t.Fatalf("open: %v; want ErrNoSuchBucket", err)
	}
	b := open(t, dir, Options{})
	put(t, b, "a/b")
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	_, getErr := b.Get(t.Context(), "a/b")
	delErr := b.Delete(t.Context(), "a/b")
	_, putErr := b.PutIfAbsent(t.Context(), "a/c", nil, "")
	_, rootErr := b.PutIfAbsent(t.Context(), "c", nil, "")
	var listErr error
	for _, err := range b.List(t.Context(), "a/", "") {
		listErr = err
	}
	for verb, err := range map[string]error{"get": getErr, "delete": delErr, "put": putErr, "put in root": rootErr, "list": listErr} {
		if !errors.Is(err, objstore.ErrNoSuchBucket) {
			t.Errorf("%s: %v; want ErrNoSuchBucket", verb, err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root was made again, on whatever is mounted there now")
	}
}

func TestADirectoryThatWasRemovedIsMadeAgain(t *testing.T) {
	for name, o := range ways {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir, o)
			put(t, b, "a/b/c")
			if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
			put(t, b, "a/b/c")
		})
	}
}

func TestAccessDeniedSaysSo(t *testing.T) {
	if os.Geteuid() == 0 {
		b := open(t, t.TempDir(), Options{})
		b.sys.mkdir = func(dir string) error { return &os.PathError{Op: "mkdir", Path: dir, Err: syscall.EACCES} }
		r, err := b.PutIfAbsent(t.Context(), "a/b", nil, "")
		if r.Outcome != objstore.Retry || !errors.Is(err, objstore.ErrAccessDenied) {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
		return
	}
	dir := t.TempDir()
	b := open(t, dir, Options{})
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	r, err := b.PutIfAbsent(t.Context(), "a/b", nil, "")
	if r.Outcome != objstore.Retry || !errors.Is(err, objstore.ErrAccessDenied) {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
}

// A file that somebody else put there may be of any size: it is refused unread.
func TestAFileThatNobodyHereWroteIsNotReadWhole(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, Options{})
	if err := os.WriteFile(filepath.Join(dir, "k"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "k"), 1<<40); err != nil { // a hole
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, objstore.ErrTooLarge) {
		t.Errorf("%v; want ErrTooLarge", err)
	}
	if tail, err := b.GetRange(t.Context(), "k", 1<<40-1, 9); err != nil || len(tail) != 1 {
		t.Errorf("a range of it: %q, %v", tail, err)
	}
}
