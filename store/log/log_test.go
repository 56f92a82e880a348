// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

const dir = "data/log"

func options(fs log.FS) log.Options {
	return log.Options{FS: fs, SegmentSize: 256, BlockSize: 64, Spares: -1, NewID: func() [16]byte { return [16]byte{1, 2, 3} }}
}

// open opens and recovers; records are what was replayed.
func open(fs log.FS) (l *log.Log, records []string, err error) {
	return openFrom(fs, 1)
}

func openFrom(fs log.FS, from log.Position) (*log.Log, []string, error) {
	l, err := log.Open(dir, options(fs))
	if err != nil {
		return nil, nil, err
	}
	var records []string
	if err := l.Recover(from, func(p log.Position, body []byte) error {
		records = append(records, fmt.Sprintf("%d %s", p, body))
		return nil
	}); err != nil {
		return nil, records, errors.Join(err, l.Close())
	}
	return l, records, nil
}

func mustOpen(t *testing.T, fs log.FS) (*log.Log, []string) {
	t.Helper()
	l, records, err := open(fs)
	if err != nil {
		t.Fatal(err)
	}
	return l, records
}

// appendOne goes the three ways in turns, by what is in the log.
func appendOne(l *log.Log, body string) error {
	way := l.Next() % 3
	if way == 0 {
		_, err := l.Write([]byte(body), nil)
		return err
	}
	ticket, err := l.Append([]byte(body), nil)
	if err != nil {
		return err
	}
	if way == 1 {
		return ticket.Wait()
	}
	<-ticket.Done()
	return ticket.Err()
}

func mustAppend(t *testing.T, l *log.Log, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		if err := appendOne(l, b); err != nil {
			t.Fatal(err)
		}
	}
}

func mustClose(t *testing.T, l *log.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("replayed %q, want %q", got, want)
	}
}

// filled is a log of eight records, each of its own batch, in three segments:
// 1-3, 4-6 and 7-8.
func filled(t *testing.T) (*logtest.FS, []string) {
	t.Helper()
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	var records []string
	for i := range 8 {
		body := fmt.Sprintf("record-%d-%s", i, strings.Repeat("x", 15+i))
		mustAppend(t, l, body)
		records = append(records, fmt.Sprintf("%d %s", i+1, body))
	}
	mustClose(t, l)
	if n := len(segments(fs)); n != 3 {
		t.Fatalf("%d segments, want 3: %q", n, segments(fs))
	}
	return fs, records
}

func segments(fs *logtest.FS) []string {
	var out []string
	for _, path := range fs.Files() {
		if filepath.Ext(path) == ".log" {
			out = append(out, path)
		}
	}
	return out
}

func isCorrupt(err error) bool {
	var c *log.CorruptError
	return errors.As(err, &c)
}

func TestRecordsComeBackInOrder(t *testing.T) {
	fs, records := filled(t)
	for range 3 { // opening changes nothing
		l, got := mustOpen(t, fs)
		want(t, got, records...)
		if l.First() != 1 || l.Durable() != 8 || l.Next() != 9 {
			t.Fatalf("first %d, durable %d, next %d; want 1, 8, 9", l.First(), l.Durable(), l.Next())
		}
		mustClose(t, l)
	}
	l, _ := mustOpen(t, fs)
	mustAppend(t, l, "nine")
	mustClose(t, l)
	_, got := mustOpen(t, fs)
	want(t, got, append(records, "9 nine")...)
}

func TestRealFiles(t *testing.T) {
	contract.Row(t, 54)
	at := filepath.Join(t.TempDir(), "data", "log")
	opt := options(nil)
	for round := range 3 {
		l, err := log.Open(at, opt)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Open(at, opt); !errors.Is(err, log.ErrLocked) {
			t.Fatalf("a second owner: %v, want ErrLocked", err)
		}
		n := 0
		if err := l.Recover(1, func(log.Position, []byte) error { n++; return nil }); err != nil || n != 10*round {
			t.Fatalf("round %d: replayed %d records, %v", round, n, err)
		}
		for range 10 {
			mustAppend(t, l, strings.Repeat("r", 50))
		}
		mustClose(t, l)
	}
}

func TestOneOwner(t *testing.T) {
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	if _, _, err := open(fs); !errors.Is(err, log.ErrLocked) {
		t.Fatalf("second owner: %v, want ErrLocked", err)
	}
	mustClose(t, l)
	mustOpen(t, fs)
}

// An owner whose Open or Recover failed gives the directory up.
func TestFailedOpenGivesUpTheLock(t *testing.T) {
	fs, _ := filled(t)
	path := segments(fs)[1]
	good := fs.Bytes(path)
	for _, at := range []int{0, len(good) / 2} { // the header: Open fails; a frame: Recover
		bad := fs.Bytes(path)
		bad[at] ^= 1
		fs.Put(path, bad)
		if _, _, err := open(fs); !isCorrupt(err) {
			t.Fatalf("byte %d: %v, want *CorruptError", at, err)
		}
	}
	fs.Put(path, good)
	mustOpen(t, fs)
}

func TestWhatCannotBeAppended(t *testing.T) {
	l, err := log.Open(dir, options(logtest.New()))
	if err != nil {
		t.Fatal(err)
	}
	if err := appendOne(l, "x"); !errors.Is(err, log.ErrClosed) {
		t.Fatalf("before Recover: %v, want ErrClosed", err)
	}
	if err := l.Recover(1, nil); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, log.MaxRecord + 1} {
		if err := appendOne(l, string(make([]byte, n))); !errors.Is(err, log.ErrTooLarge) {
			t.Fatalf("%d bytes: %v, want ErrTooLarge", n, err)
		}
	}
	mustAppend(t, l, string(make([]byte, log.MaxRecord))) // larger than a segment: one of its own
	mustClose(t, l)
	if err := appendOne(l, "x"); !errors.Is(err, log.ErrClosed) {
		t.Fatalf("after Close: %v, want ErrClosed", err)
	}
}

// Positions that a checkpoint in the root has taken are skipped, visibly.
func TestSkippedPositions(t *testing.T) {
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	mustAppend(t, l, "one", "two")
	mustClose(t, l)
	l, got, err := openFrom(fs, 100)
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, "1 one", "2 two")
	mustAppend(t, l, "hundred")
	mustClose(t, l)
	l, got, err = openFrom(fs, 50) // lower than what is there: no reason to skip
	if err != nil {
		t.Fatal(err)
	}
	want(t, got, "1 one", "2 two", "100 hundred")
	mustClose(t, l)

	l, got, err = openFrom(logtest.New(), 7) // a lost directory
	if err != nil || len(got) != 0 || l.First() != 7 || l.Next() != 7 || l.Durable() != 6 {
		t.Fatalf("first %d, next %d, durable %d, %v", l.First(), l.Next(), l.Durable(), err)
	}
}

func TestTruncateKeepsTwoSegments(t *testing.T) {
	contract.Row(t, 58)
	fs, records := filled(t)
	l, _ := mustOpen(t, fs)
	for i := range 6 {
		mustAppend(t, l, fmt.Sprintf("more-%d-%s", i, strings.Repeat("x", 150))) // a segment each
		records = append(records, fmt.Sprintf("%d more-%d-%s", 9+i, i, strings.Repeat("x", 150)))
	}
	// Segments: 1-3, 4-6, 7-8, 9, 10, 11, 12, 13, 14.
	for _, c := range []struct {
		upTo  log.Position
		first log.Position
	}{{0, 1}, {2, 1}, {3, 4}, {5, 4}, {7, 7}, {10, 11}, {14, 13}, {14, 13}, {1000, 13}} {
		if l.Truncatable(c.upTo) != (l.First() != c.first) {
			t.Fatalf("Truncatable(%d) = %v with first %d", c.upTo, l.Truncatable(c.upTo), l.First())
		}
		if err := l.Truncate(c.upTo); err != nil || l.First() != c.first {
			t.Fatalf("Truncate(%d): first %d, %v; want %d", c.upTo, l.First(), err, c.first)
		}
	}
	mustAppend(t, l, "last")
	mustClose(t, l)
	_, got := mustOpen(t, fs.PowerLoss(func(int) int { return 0 }))
	want(t, got, append(records[12:], "15 last")...)
}

// A failed remove leaves more than necessary; it is tried again and poisons nothing.
func TestTruncateFails(t *testing.T) {
	contract.Row(t, 58)
	fs, _ := filled(t)
	l, _ := mustOpen(t, fs)
	eio := errors.New("input/output error")
	fs.Fail(logtest.Remove, fs.Count(logtest.Remove)+1, eio)
	if err := l.Truncate(7); !errors.Is(err, eio) || l.First() != 1 {
		t.Fatalf("%v, first %d", err, l.First())
	}
	mustAppend(t, l, "still good")
	if err := l.Truncate(7); err != nil || l.First() != 4 {
		t.Fatalf("%v, first %d, want 4", err, l.First())
	}
}

// damaged checks that an open was refused for this reason.
func damaged(t *testing.T, err error, damage log.Damage, says string) {
	t.Helper()
	var c *log.CorruptError
	if !errors.As(err, &c) || c.Damage != damage || !strings.Contains(err.Error(), says) {
		t.Fatalf("%v, want %s and %q", err, damage, says)
	}
}
