// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

const (
	headSize  = 64 // of a segment; a block too
	frameHead = 28
)

// extent is where record i of the filled log stands in its segment: each has a block.
func extent(records []string, i int) (from, to int) {
	from = headSize + 64*(i%3)
	return from, from + frameHead + len(records[i]) - len("1 ")
}

// Whatever byte is flipped: refused, or all records unaltered. Only damage in the
// very last frame may cost that frame: nothing proves that it was acknowledged. The
// padding behind a frame is nobody's.
func TestFlipEveryByte(t *testing.T) {
	contract.Row(t, 49, 51)
	fs, records := filled(t)
	files := segments(fs)
	refused, cut, padding := 0, 0, 0
	for i, path := range files {
		good := fs.Bytes(path)
		for at := range good {
			record := 3*i + (at-headSize)/64
			inFrame := at < headSize
			if !inFrame {
				from, to := extent(records, record)
				inFrame = at >= from && at < to
			}
			for _, bit := range []byte{1, 0x80} {
				now := fs.Killed()
				bad := append([]byte(nil), good...)
				bad[at] ^= bit
				now.Put(path, bad)
				l, got, err := open(now)
				switch {
				case isCorrupt(err):
					refused++
					if after := now.Bytes(path); string(after) != string(bad) {
						t.Fatalf("%s byte %d: refused, and changed all the same", path, at)
					}
					if !inFrame {
						t.Fatalf("%s byte %d is padding: %v", path, at, err)
					}
					continue
				case err != nil:
					t.Fatalf("%s byte %d: %v, want *CorruptError", path, at, err)
				case !inFrame:
					padding++
					want(t, got, records...)
				case record == 7 && at >= headSize:
					cut++
					want(t, got, records[:7]...)
				default:
					t.Fatalf("%s byte %d of bit %#x went unnoticed", path, at, bit)
				}
				mustClose(t, l)
			}
		}
	}
	t.Logf("%d flips refused, %d taken for a torn tail, %d in padding", refused, cut, padding)
	if from, to := extent(records, 7); cut != 2*(to-from) {
		t.Fatalf("%d flips taken for a torn tail, want those of the last frame", cut)
	}
}

// Whatever is cut off the last segment: the whole frames before are there, and
// the log goes on. A sealed segment that is cut is refused.
func TestEveryTornTail(t *testing.T) {
	contract.Row(t, 50)
	fs, records := filled(t)
	files := segments(fs)
	for i, path := range files {
		whole := fs.Bytes(path)
		for n := range whole {
			now := fs.Killed()
			now.Put(path, whole[:n])
			l, got, err := open(now)
			kept := 3 * i // records that are whole
			for ; kept < min(3*i+3, 8); kept++ {
				if _, to := extent(records, kept); n < to {
					break
				}
			}
			if n < headSize || i < 2 && kept < 3*i+3 {
				if !isCorrupt(err) {
					t.Fatalf("%s cut to %d bytes: %v, want *CorruptError", path, n, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s cut to %d bytes: %v", path, n, err)
			}
			if i < 2 {
				kept = len(records) // only padding was cut
			}
			want(t, got, records[:kept]...)
			mustAppend(t, l, "again")
			mustClose(t, l)
			_, got = mustOpen(t, now.PowerLoss(func(int) int { return 0 }))
			want(t, got, append(records[:kept:kept], fmt.Sprintf("%d again", kept+1))...)
		}
	}
}

// The same garbage behind the good part: a torn tail in the newest segment, damage in
// every other one.
func TestGarbageBehindTheGoodPart(t *testing.T) {
	contract.Row(t, 50)
	fs, records := filled(t)
	for i, path := range segments(fs) {
		for _, garbage := range []string{"y", strings.Repeat("garbage", 40), strings.Repeat("\xff", 300)} {
			now := fs.Killed()
			_, to := extent(records, min(3*i+1, 7))
			now.Put(path, append(now.Bytes(path)[:to-1:to-1], garbage...))
			l, got, err := open(now)
			if i < 2 {
				var c *log.CorruptError
				if !errors.As(err, &c) || c.Damage != log.DamagedFrame || c.Path != path {
					t.Fatalf("%s: %v, want damage of a frame", path, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			want(t, got, records[:7]...)
			mustClose(t, l)
		}
	}
}

func TestMissingSegment(t *testing.T) {
	fs, records := filled(t)
	for i, path := range segments(fs) {
		now := fs.Killed()
		if err := now.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, got, err := open(now)
		switch i {
		case 0: // as after a truncation: the pins must cover it, which is for the store to check
			if err != nil {
				t.Fatal(err)
			}
			want(t, got, records[3:]...)
		case 1:
			if !isCorrupt(err) || !strings.Contains(err.Error(), "a segment is missing") {
				t.Fatalf("%v, want a missing segment", err)
			}
		}
	}
}

func TestSegmentOfAnotherLog(t *testing.T) {
	fs, _ := filled(t)
	other := logtest.New()
	opt := options(other)
	opt.NewID = func() [16]byte { return [16]byte{9} }
	l, err := log.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(8, nil); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	path := segments(other)[0]
	fs.Put(path, other.Bytes(path))
	if _, _, err := open(fs); !isCorrupt(err) || !strings.Contains(err.Error(), "another log") {
		t.Fatalf("%v, want a refusal", err)
	}
}

// script appends until the process dies and returns what was attempted and how
// many of it, from the start, were acknowledged. Two records share a batch.
func script(fs *logtest.FS) (attempted []string, acked int) {
	l, _, err := open(fs)
	if err != nil {
		return nil, 0
	}
	defer l.Close()
	for i := range 10 {
		body := fmt.Sprintf("r%d-%s", i, strings.Repeat("y", 9*i))
		attempted = append(attempted, fmt.Sprintf("%d %s", i+1, body))
		ticket, err := l.Append([]byte(body), nil)
		if err != nil {
			return attempted, acked
		}
		if i%3 == 0 {
			continue // the next one's fsync is this one's too
		}
		<-ticket.Done()
		if ticket.Err() != nil {
			return attempted, acked
		}
		acked = i + 1
	}
	return attempted, acked
}

// check opens what a crash left: everything acknowledged is there, nothing is
// there that was not attempted, and the log goes on.
func check(fail func(string, ...any), fs *logtest.FS, attempted []string, acked int) {
	l, got, err := open(fs)
	if err != nil {
		fail("reopen: %v", err)
		return
	}
	if len(got) < acked || len(got) > len(attempted) {
		fail("%d records of %d attempted and %d acknowledged", len(got), len(attempted), acked)
		return
	}
	for i := range got {
		if got[i] != attempted[i] {
			fail("record %d is %q, was %q", i+1, got[i], attempted[i])
			return
		}
	}
	if err := appendOne(l, "on"); err != nil {
		fail("append after the crash: %v", err)
	}
	if err := l.Close(); err != nil {
		fail("close: %v", err)
	}
}

// The process is killed at every byte that it writes, first in the log and then
// in the recovery that follows.
func TestKillAtEveryByte(t *testing.T) {
	contract.Row(t, 42, 53)
	whole := logtest.New()
	if _, acked := script(whole); acked != 9 {
		t.Fatalf("%d acknowledged without a kill", acked)
	}
	total := 0
	for _, path := range segments(whole) {
		total += len(whole.Bytes(path))
	}
	for n := 0; n <= total; n++ {
		fs := logtest.New()
		fs.DieAfter(n)
		attempted, acked := script(fs)
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("killed after %d bytes: "+format, append([]any{n}, args...)...)
		}
		check(fail, fs.Killed(), attempted, acked)
		for m := n % 127; ; m += 127 { // and the next process, while it recovers
			again := fs.Killed()
			again.DieAfter(m)
			l, _, err := open(again)
			check(fail, again.Killed(), attempted, acked)
			if err == nil {
				_ = l.Close()
				break
			}
			if !errors.Is(err, logtest.ErrDied) {
				fail("recovery killed after %d bytes: %v", m, err)
			}
		}
	}
}

// A power cut at any call, with any choice of what the disk kept.
func TestPowerLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := logtest.New()
		fs.DieAfter(rapid.IntRange(0, 1200).Draw(t, "die after"))
		attempted, acked := script(fs)
		for round := range rapid.IntRange(1, 3).Draw(t, "rounds") {
			fs = fs.PowerLoss(func(n int) int { return rapid.IntRange(0, n).Draw(t, "kept") })
			if round > 0 {
				break
			}
			again := fs.Killed() // and another one while it recovers
			again.DieAfter(rapid.IntRange(0, 1200).Draw(t, "die again"))
			if l, _, err := open(again); err == nil {
				_ = l.Close()
			}
			fs = again.PowerLoss(func(n int) int { return rapid.IntRange(0, n).Draw(t, "kept again") })
		}
		check(t.Fatalf, fs, attempted, acked)
	})
}

// What a process has read and acted on survives a power cut, even if it was only
// in the page cache: Recover makes it durable before it returns.
func TestWhatWasReadIsDurable(t *testing.T) {
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	mustAppend(t, l, "one")
	fs.Fail(logtest.Sync, fs.Count(logtest.Sync)+1, errors.New("input/output error"))
	if err := appendOne(l, "two"); err == nil {
		t.Fatal("acknowledged without a sync")
	}
	_ = l.Close()
	now := fs.Killed()
	l, got := mustOpen(t, now)
	want(t, got, "1 one", "2 two")
	_ = l
	_, got = mustOpen(t, now.PowerLoss(func(int) int { return 0 }))
	want(t, got, "1 one", "2 two")
}

// A length that cannot be is no reason to allocate, or to read on.
func TestLengthIsCappedBeforeAllocation(t *testing.T) {
	contract.Row(t, 49)
	fs, records := filled(t)
	path := segments(fs)[2]
	head := fs.Bytes(path)[:headSize:headSize]
	for _, length := range [][]byte{{0, 0, 0, 0}, {0, 0, 0, 1}, {1, 0, 0, 1}, {255, 255, 255, 255}} {
		now := fs.Killed()
		now.Put(path, append(append(head, append([]byte("crc!"), length...)...), make([]byte, 4000)...))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, got, err := open(now)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		want(t, got, records[:6]...)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Fatalf("length %x: %d bytes were allocated", length, n)
		}
	}
}
