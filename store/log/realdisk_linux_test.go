// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/test/contract"
)

// A real disk that cannot keep what it was promised: an image on a file system in memory
// that is too small for it. Its syncs fail, the page cache forgets, and a second sync
// reports success; then there is room again. Nothing that was acknowledged may be
// unreadable then. The mounts are in a name space of their own, that ends with the process.
func TestARealSyncThatFails(t *testing.T) {
	if os.Getenv("SALVOR_LOG_THIN_DISK") != "" {
		thinDisk(t, os.Getenv("SALVOR_LOG_THIN_DISK"))
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("it mounts file systems: run as root")
	}
	for _, tool := range []string{"losetup", "mkfs.ext4", "e2fsck"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s", tool)
		}
	}
	contract.Row(t, 45, 48)
	for _, mode := range []string{"commit", "interval"} {
		t.Run(mode, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestARealSyncThatFails$", "-test.v")
			cmd.Env = append(os.Environ(), "SALVOR_LOG_THIN_DISK="+mode, "SALVOR_CONTRACT_DIR=")
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if bytes.Contains(out, []byte("--- SKIP")) {
				t.Skip(string(out))
			}
			t.Logf("%s", out)
		})
	}
}

func thinDisk(t *testing.T, mode string) {
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	at := t.TempDir()
	mem, disk := filepath.Join(at, "mem"), filepath.Join(at, "disk")
	must(errors.Join(os.Mkdir(mem, 0o750), os.Mkdir(disk, 0o750)))
	must(syscall.Mount("tmpfs", mem, "tmpfs", 0, "size=12m"))
	// What a test that fails leaves open ends with the name space.
	defer func() { _ = syscall.Unmount(mem, syscall.MNT_DETACH) }()
	image := filepath.Join(mem, "image")
	must(errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 256<<20)))
	// A loop device reports a write that was cut short as a success. So there is no
	// journal, and every commit and every sync is of one page: it is kept or it fails.
	run("mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", image)
	loop, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		t.Skipf("there is no loop device: %v", err)
	}
	device := strings.TrimSpace(string(loop))
	defer func() { _ = exec.Command("losetup", "--detach", device).Run() }()
	must(syscall.Mount(device, disk, "ext4", 0, "errors=continue"))

	opt := log.Options{NewID: func() [16]byte { return [16]byte{1} }, SegmentSize: 4 << 20, Spares: -1, Mode: modeOf(mode)}
	l, err := log.Open(filepath.Join(disk, "log"), opt)
	must(err)
	must(l.Recover(1, nil))
	body := func(i int) string { return fmt.Sprintf("record %d %s", i, strings.Repeat("x", 3<<10)) }
	var failure error
	for i := 1; i < 8000 && failure == nil; i++ {
		failure = appendOne(l, body(i))
		if mode == "interval" && failure == nil {
			failure = l.Sync()
		}
	}
	var p *log.PoisonedError
	if !errors.As(failure, &p) {
		t.Fatalf("the disk is full, and the log says %v", failure)
	}
	durable := l.Durable()
	must(syscall.Mount("tmpfs", mem, "tmpfs", syscall.MS_REMOUNT, "size=400m")) // there is room again
	for range 40 {
		if err := appendOne(l, "after the failure"); !errors.Is(err, p) {
			t.Fatalf("a commit after the failure: %v", err)
		}
	}
	if err := l.Close(); !errors.Is(err, p) || l.Durable() != durable {
		t.Fatalf("Close: %v; durable was %d, is %d", err, durable, l.Durable())
	}
	must(syscall.Unmount(disk, 0))
	if out, err := exec.Command("e2fsck", "-fy", device).CombinedOutput(); err != nil && exitCode(err) > 1 {
		t.Fatalf("e2fsck: %v: %s", err, out)
	}
	must(syscall.Mount(device, disk, "ext4", 0, ""))
	defer func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) }()
	l, err = log.Open(filepath.Join(disk, "log"), opt)
	must(err)
	n := 0
	must(l.Recover(1, func(p log.Position, got []byte) error {
		if n++; string(got) != body(n) {
			return fmt.Errorf("record %d is another one", n)
		}
		return nil
	}))
	if n < int(durable) {
		t.Fatalf("%d records are there, %d were durable", n, durable)
	}
	must(appendOne(l, "goes on"))
	must(l.Close())
	t.Logf("%s: %v; %d were durable, %d came back", mode, p, durable, n)
}

func modeOf(name string) log.SyncMode {
	if name == "interval" {
		return log.SyncInterval
	}
	return log.SyncCommit
}

func exitCode(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return -1
}
