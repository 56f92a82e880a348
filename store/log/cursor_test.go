// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// read returns the events that a cursor has now.
func read(t *testing.T, c *log.Cursor, most int) (got []string, err error) {
	t.Helper()
	err = c.Read(most, func(p log.Position, body []byte) error {
		got = append(got, fmt.Sprint(p, " ", string(body)))
		return nil
	})
	return got, err
}

// A cursor reads what Recover would, event by event, however it is cut into pieces, and
// goes on where more is written.
func TestACursorReadsTheLog(t *testing.T) {
	fs := logtest.New()
	l := openMode(t, fs, log.SyncCommit, func(o *log.Options) { o.SegmentSize = 512 })
	var want []string
	c := l.From(0)
	defer c.Close()
	var got []string
	for i := range 50 {
		events := [][]byte{[]byte(fmt.Sprint("a", i)), []byte(strings.Repeat("b", i)), []byte("c")}[:1+2*(i%2)]
		ticket, err := l.Commit(events, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := ticket.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			want = append(want, fmt.Sprint(i+1, " ", string(e)))
		}
		if i%3 == 0 {
			piece, err := read(t, c, 1)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, piece...)
		}
	}
	rest, err := read(t, c, 1<<20)
	if got = append(got, rest...); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v: got\n%q, want\n%q", err, got, want)
	}
	if rest, err := read(t, c, 1<<20); len(rest) > 0 || err != nil || c.Next() != 51 {
		t.Fatalf("at the end: %q, %v, next %d", rest, err, c.Next())
	}
	mustClose(t, l)
}

// What was written and not synced is nobody's yet.
func TestACursorReadsWhatIsDurable(t *testing.T) {
	contract.Row(t, 63)
	fs := logtest.New()
	l := openMode(t, fs, log.SyncNone)
	c := l.From(1)
	defer c.Close()
	mustAppend(t, l, "one", "two")
	if got, err := read(t, c, 1<<20); len(got) > 0 || err != nil {
		t.Fatalf("before the sync: %q, %v", got, err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, "three")
	if got, err := read(t, c, 1<<20); !slices.Equal(got, []string{"1 one", "2 two"}) || err != nil {
		t.Fatalf("after it: %q, %v", got, err)
	}
	mustClose(t, l)
	var closed = c.Check()
	if got, err := read(t, c, 1<<20); !slices.Equal(got, []string{"3 three"}) || err != nil || closed != nil {
		t.Fatalf("after the close: %q, %v", got, err)
	}
	if err := l.Await(t.Context(), 4); !errors.Is(err, log.ErrClosed) {
		t.Fatalf("whoever waits for more is told %v", err)
	}
}

// Positions that were skipped on purpose are missing, not passed over.
func TestASkippedPositionIsTruncated(t *testing.T) {
	contract.Row(t, 62)
	fs := logtest.New()
	l := openMode(t, fs, log.SyncCommit)
	mustAppend(t, l, "one", "two")
	mustClose(t, l)
	l, err := log.Open(dir, log.Options{NewID: func() [16]byte { return [16]byte{1} }, FS: fs, BlockSize: 64, Spares: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(10, func(log.Position, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, "ten")
	c := l.From(1)
	defer c.Close()
	got, err := read(t, c, 1<<20)
	var truncated *log.TruncatedError
	if !slices.Equal(got, []string{"1 one", "2 two"}) || !errors.As(err, &truncated) || truncated.From != 3 || truncated.Earliest != 10 {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := read(t, l.From(10), 1<<20); !slices.Equal(got, []string{"10 ten"}) || err != nil {
		t.Fatalf("from the earliest: %q, %v", got, err)
	}
	mustClose(t, l)
}

// A segment that was truncated under the cursor, and whose file is used again, is told as
// that, and not as damage; damage is told as damage.
func TestACursorThatIsOvertaken(t *testing.T) {
	contract.Row(t, 62)
	fs := logtest.New()
	l := openMode(t, fs, log.SyncCommit, func(o *log.Options) { o.SegmentSize, o.Spares = 256, 4 })
	defer mustClose(t, l)
	fill := func() {
		for range 20 {
			mustAppend(t, l, strings.Repeat("x", 30))
		}
	}
	fill()
	c := l.From(1)
	defer c.Close()
	if got, err := read(t, c, 1); len(got) != 1 || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if err := l.Truncate(l.Durable()); err != nil {
		t.Fatal(err)
	}
	fill()
	got, err := read(t, c, 1<<20)
	var truncated *log.TruncatedError
	if !errors.As(err, &truncated) || truncated.Earliest != l.First() || truncated.From != c.Next() {
		t.Fatalf("%d more, then %v; the log begins with %d", len(got), err, l.First())
	}
	c = l.From(l.First())
	for _, path := range segments(fs) {
		raw := fs.Bytes(path)
		raw[64+10] ^= 1
		fs.Put(path, raw)
	}
	if _, err := read(t, c, 1<<20); !isCorrupt(err) {
		t.Fatalf("a damaged segment: %v", err)
	}
}

func TestAwait(t *testing.T) {
	fs := logtest.New()
	l := openMode(t, fs, log.SyncCommit)
	told := make(chan error, 1)
	go func() { told <- l.Await(t.Context(), 2) }()
	mustAppend(t, l, "one")
	select {
	case err := <-told:
		t.Fatalf("told before it is there: %v", err)
	default:
	}
	mustAppend(t, l, "two")
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Await(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Fatalf("a caller who has gone: %v", err)
	}
	mustClose(t, l)
}

// The same in the middle of a read: what was read is right, and then it is told.
func TestACursorThatIsOvertakenInMidRead(t *testing.T) {
	contract.Row(t, 62)
	fs := logtest.New()
	l := openMode(t, fs, log.SyncCommit, func(o *log.Options) { o.SegmentSize, o.Spares = 256<<10, 4 })
	defer mustClose(t, l)
	fill := func(n int) {
		for range n {
			mustAppend(t, l, fmt.Sprintf("%08d", l.Next())+strings.Repeat("x", 8<<10))
		}
	}
	fill(120)
	c := l.From(1)
	defer c.Close()
	n := 0
	err := c.Read(1<<30, func(p log.Position, body []byte) error {
		if n++; p != log.Position(n) || string(body[:8]) != fmt.Sprintf("%08d", n) {
			t.Fatalf("position %d, event %d: %.8s", p, n, body)
		}
		if n == 1 {
			if err := l.Truncate(l.Durable()); err != nil {
				t.Fatal(err)
			}
			fill(120)
		}
		return nil
	})
	var truncated *log.TruncatedError
	if !errors.As(err, &truncated) || truncated.From != log.Position(n+1) || truncated.Earliest != l.First() || n > 20 {
		t.Fatalf("after %d: %v; the log begins with %d", n, err, l.First())
	}
}

// On a real disk the flusher writes past the page cache, through which a cursor reads:
// while many append and segments are truncated and used again, it reads what was
// appended, in order.
func TestACursorOnARealDisk(t *testing.T) {
	l, err := log.Open(filepath.Join(t.TempDir(), "log"), log.Options{NewID: func() [16]byte { return [16]byte{1} }, SegmentSize: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(1, nil); err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, l)
	const writers, each = 4, 400
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := appendOne(l, strings.Repeat("x", 700)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	c := l.From(1)
	defer c.Close()
	for next := log.Position(1); next <= writers*each; {
		if err := l.Await(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		if err := c.Read(32<<10, func(p log.Position, body []byte) error {
			if p != next || len(body) != 700 || strings.Trim(string(body), "x") != "" {
				t.Errorf("position %d, want %d; %d bytes", p, next, len(body))
			}
			next++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := l.Truncate(next - 1); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if l.First() == 1 {
		t.Error("nothing was truncated")
	}
}
