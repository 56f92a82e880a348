// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

func TestClassify(t *testing.T) {
	contract.Row(t, 134)
	for _, c := range []struct {
		err  error
		want log.Class
	}{
		{&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, log.DiskFull},
		{fmt.Errorf("rotate: %w", syscall.EDQUOT), log.DiskFull},
		{errors.Join(syscall.EIO, syscall.ENOSPC), log.DiskFull}, // full is what nobody restarts
		{syscall.EROFS, log.ReadOnlyFilesystem},
		{syscall.EIO, log.IO}, {syscall.ENXIO, log.IO}, {syscall.ENODEV, log.IO}, {syscall.ESTALE, log.IO}, {syscall.ETIMEDOUT, log.IO}, {io.ErrShortWrite, log.IO},
		{syscall.EPERM, log.OtherFailure}, {errors.New("no space left on device"), log.OtherFailure}, {nil, log.OtherFailure},
	} {
		if got := (&log.PoisonedError{Op: "write", Cause: c.err}).Class(); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
}

// The file system says what it has; a directory that is not there is an error.
func TestSpace(t *testing.T) {
	contract.Row(t, 134)
	s, err := log.OS.Space(t.TempDir())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("nobody can tell here")
	}
	if err != nil || s.Total <= 0 || s.Free < 0 || s.Free > s.Total {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := log.OS.Space("/nowhere/at/all"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v", err)
	}
}

// A disk that is full takes what fits, fails with the system's own error, and poisons;
// what was acknowledged before is there when it is larger.
func TestAFullDiskPoisons(t *testing.T) {
	contract.Row(t, 134)
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	mustAppend(t, l, "first")
	if b := l.Status().Bytes; b <= 0 || b > int64(fs.Used()) {
		t.Errorf("the log holds %d bytes, its files %d", b, fs.Used())
	}
	fs.Resize(fs.Used() + 1)
	var p *log.PoisonedError
	if err := appendOne(l, "second"); !errors.As(err, &p) || p.Class() != log.DiskFull || p.Op != "write" {
		t.Fatalf("%v", err)
	}
	if s, err := fs.Space("x"); err != nil || s.Total != s.Free+int64(fs.Used()) {
		t.Errorf("%+v, %v", s, err)
	}
	_ = l.Close()
	again := fs.Killed()
	again.Resize(1 << 20)
	if _, got := mustOpen(t, again); len(got) != 1 || got[0] != "1 first" {
		t.Errorf("%v", got)
	}
}
