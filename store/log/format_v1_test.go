// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// testdata/v1 is a log that the salvor before format 2 has written: eight records in
// three segments, each of its own batch. Never edit it.
func format1(t *testing.T) (*logtest.FS, []string) {
	t.Helper()
	fs := logtest.New()
	files, err := filepath.Glob("testdata/v1/*.log")
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fs.Put(filepath.Join(dir, filepath.Base(file)), raw)
	}
	var records []string
	for i := range 8 {
		records = append(records, fmt.Sprintf("%d record-%d-%s", i+1, i, strings.Repeat("x", 15+i)))
	}
	return fs, records
}

// The log of an older salvor is read and goes on; its last segment is one of this
// format from then on, the others go when they are truncated.
func TestAnOlderLogGoesOn(t *testing.T) {
	fs, records := format1(t)
	for round := range 3 {
		l, got := mustOpen(t, fs)
		want(t, got, records...)
		body := fmt.Sprintf("new-%d-%s", round, strings.Repeat("y", 150))
		mustAppend(t, l, body)
		records = append(records, fmt.Sprintf("%d %s", 9+round, body))
		mustClose(t, l)
		fs = fs.PowerLoss(func(int) int { return 0 })
	}
	for i, path := range segments(fs) {
		if format := fs.Bytes(path)[7]; (format == '1') != (i < 2) {
			t.Fatalf("%s has format %c", path, format)
		}
	}
	l, _ := mustOpen(t, fs)
	if err := l.Truncate(8); err != nil || l.First() != 9 {
		t.Fatalf("first %d, %v, want 9", l.First(), err)
	}
	mustClose(t, l)
	_, got := mustOpen(t, fs)
	want(t, got, records[8:]...)
}

// Every byte of an older log is under a checksum, as it was.
func TestAnOlderLogIsChecked(t *testing.T) {
	fs, records := format1(t)
	files := segments(fs)
	for i, path := range files {
		good := fs.Bytes(path)
		last := len(good) // where the last frame of the log begins
		if i == 2 {
			last -= 24 + len(records[7]) - len("8 ")
		}
		for at := range good {
			now := fs.Killed()
			bad := append([]byte(nil), good...)
			bad[at] ^= 1
			now.Put(path, bad)
			_, got, err := open(now)
			if at >= last && err == nil {
				want(t, got, records[:7]...)
			} else if !isCorrupt(err) {
				t.Fatalf("%s byte %d: %v", path, at, err)
			}
		}
	}
}

// A log that a newer salvor has written is refused with a sentence that says so.
func TestANewerLogIsRefused(t *testing.T) {
	fs, _ := filled(t)
	path := segments(fs)[1]
	raw := fs.Bytes(path)
	raw[7] = '3'
	fs.Put(path, raw)
	_, _, err := open(fs)
	damaged(t, err, log.NewerFormat, "run the newer salvor")
}
