// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// readOn reads at most n transactions from the cursor on.
func readOn(l *log.Log, c *log.Cursor, n int) (out []string, err error) {
	last := log.Position(0)
	err = l.Read(c, func(p log.Position, body []byte) error {
		if p != last {
			n--
		}
		last = p
		out = append(out, fmt.Sprintf("%d %s", p, body))
		return nil
	}, func() bool { return n <= 0 })
	return out, err
}

// A log that runs is read from any position on, piece by piece, with notes of checkpoints,
// transactions of several events and segments in between.
func TestReadWhileItRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := logtest.New()
		l, _, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var all []string // events
		firsts := []int{0, 0}
		cursor, read := log.CursorAt(1), 0
		t.Repeat(map[string]func(*rapid.T){
			"transaction": func(t *rapid.T) {
				var events [][]byte
				for range rapid.IntRange(1, 4).Draw(t, "events") {
					e := rapid.StringN(1, 60, 90).Draw(t, "event")
					events = append(events, []byte(e))
					all = append(all, fmt.Sprintf("%d %s", len(firsts)-1, e))
				}
				ticket, err := l.Commit(events, nil)
				if err == nil {
					err = ticket.Wait()
				}
				if err != nil {
					t.Fatal(err)
				}
				firsts = append(firsts, len(all))
			},
			"checkpoint": func(t *rapid.T) {
				if err := l.Checkpoint(log.Position(rapid.IntRange(0, len(firsts)-2).Draw(t, "position"))); err != nil {
					t.Fatal(err)
				}
			},
			"read on": func(t *rapid.T) {
				got, err := readOn(l, &cursor, rapid.IntRange(1, 5).Draw(t, "transactions"))
				if err != nil || strings.Join(got, "|") != strings.Join(all[read:min(read+len(got), len(all))], "|") || int(cursor.Next) >= len(firsts) && read+len(got) != len(all) {
					t.Fatalf("%q (%v), want from %d of %q", got, err, read, all)
				}
				read += len(got)
			},
			"read from somewhere": func(t *rapid.T) {
				p := rapid.IntRange(1, len(firsts)).Draw(t, "position")
				c := log.CursorAt(log.Position(p))
				got, err := readOn(l, &c, 1<<20)
				from := len(all)
				if p < len(firsts) {
					from = firsts[p]
				}
				if err != nil || strings.Join(got, "|") != strings.Join(all[from:], "|") {
					t.Fatalf("from %d: %q (%v), want %q", p, got, err, all[from:])
				}
			},
		})
	})
}

// What was cut off is told as that, with the position with which the log begins; a file
// that was cut off and is used again is never read as what it was.
func TestReadWhatWasCutOff(t *testing.T) {
	contract.Row(t, 62)
	fs := logtest.New()
	o := options(fs)
	o.Spares = 2
	l, err := log.Open(dir, o)
	if err == nil {
		err = l.Recover(1, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	for n := range 40 {
		mustAppend(t, l, fmt.Sprint("record ", n))
	}
	cursor := log.CursorAt(1)
	if got, err := readOn(l, &cursor, 3); err != nil || len(got) != 3 {
		t.Fatalf("%q %v", got, err)
	}
	if err := errors.Join(l.Checkpoint(30), l.Truncate(30)); err != nil {
		t.Fatal(err)
	}
	var cut *log.CutError
	if _, err := readOn(l, &cursor, 3); !errors.As(err, &cut) || cut.Next != 4 || cut.First != l.First() || cut.First < 10 || !strings.Contains(err.Error(), fmt.Sprint("the log begins with ", cut.First)) {
		t.Fatalf("%v; the log begins with %d", err, l.First())
	}
	cursor = log.CursorAt(cut.First)
	if got, err := readOn(l, &cursor, 100); err != nil || len(got) != 41-int(cut.First) {
		t.Fatalf("%q %v", got, err)
	}
	// Beside a reader the log is cut and its files are used again.
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Add(1)
	go func() {
		defer wg.Done()
		for c := log.CursorAt(l.First()); ; {
			next := c.Next
			err := l.Read(&c, func(p log.Position, body []byte) error {
				if want := fmt.Sprint("record ", p-1); string(body) != want || p != next {
					return fmt.Errorf("position %d is %q, want %d %q", p, body, next, want)
				}
				next++
				return nil
			}, func() bool { return false })
			if errors.As(err, &cut) {
				c = log.CursorAt(cut.First)
			} else if err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for n := 40; n < 600; n++ {
		mustAppend(t, l, fmt.Sprint("record ", n))
		if n%7 == 0 {
			if err := l.Truncate(log.Position(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wg.Wait()
	mustClose(t, l)
}

// Positions that were skipped are passed, and Unbroken says where.
func TestReadPassesWhatWasSkipped(t *testing.T) {
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	mustAppend(t, l, "a", "b")
	if l.Unbroken() != 1 {
		t.Fatalf("unbroken from %d", l.Unbroken())
	}
	mustClose(t, l)
	l, _, err := openFrom(fs, 10)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, "c")
	cursor := log.CursorAt(1)
	got, err := readOn(l, &cursor, 10)
	if err != nil || strings.Join(got, "|") != "1 a|2 b|10 c" || l.Unbroken() != 10 || l.First() != 1 {
		t.Fatalf("%q %v, unbroken from %d", got, err, l.Unbroken())
	}
	mustClose(t, l)
}

// Nothing is read that is not durable; what is, is read from a log that has failed, too.
func TestReadIsBelowWhatIsDurable(t *testing.T) {
	fs := logtest.New()
	l := openMode(t, fs, log.SyncNone)
	mustAppend(t, l, "a", "b")
	cursor := log.CursorAt(1)
	if got, err := readOn(l, &cursor, 10); err != nil || len(got) > 0 {
		t.Fatalf("%q %v", got, err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, "c")
	fs.Fail(logtest.Write, fs.Count(logtest.Write)+1, syscall.EIO)
	if err := appendOne(l, "d"); err == nil {
		t.Fatal("it was written")
	}
	if got, err := readOn(l, &cursor, 10); err != nil || strings.Join(got, "|") != "1 a|2 b" {
		t.Fatalf("%q %v", got, err)
	}
	_ = l.Close()
}

// Damage of what is durable is told as that.
func TestReadFindsDamage(t *testing.T) {
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	mustAppend(t, l, "a", "b", "c")
	name := segments(fs)[0]
	raw := fs.Bytes(name)
	raw[strings.Index(string(raw), "b")] ^= 1
	fs.Put(name, raw)
	cursor := log.CursorAt(1)
	got, err := readOn(l, &cursor, 10)
	if !isCorrupt(err) || len(got) != 1 || cursor.Next != 2 {
		t.Fatalf("%q %v, next is %d", got, err, cursor.Next)
	}
	_ = l.Close()
}
