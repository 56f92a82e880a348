// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// history is a log with what is known of it: what was attempted, what somebody was told
// and what is durable.
type history struct {
	fail func(string, ...any)
	fs   *logtest.FS
	opt  log.Options
	log  *log.Log // nil: it is closed
	// attempted are the events of each position, from 1.
	attempted [][]string
	// told is the newest position that somebody was told; safe the newest that a power
	// cut must not cost.
	told, safe int
	gone       int // positions that were truncated
}

func (h *history) open() error {
	l, err := log.Open(dir, h.opt)
	if err != nil {
		return err
	}
	h.log = l
	got := map[int][]string{}
	last := 0
	if err := l.Recover(1, func(p log.Position, e []byte) error {
		if int(p) < last {
			h.fail("position %d is replayed behind %d", p, last)
		}
		last = int(p)
		got[last] = append(got[last], string(e))
		return nil
	}); err != nil {
		h.log = nil
		return errors.Join(err, l.Close())
	}
	next := int(l.Next())
	if next-1 < h.safe || next-1 > len(h.attempted) {
		h.fail("the log ends with %d; %d were attempted, up to %d it was promised", next-1, len(h.attempted), h.safe)
	}
	if first := int(l.First()); first-1 > h.gone {
		h.fail("the log begins with %d, up to %d was truncated", first, h.gone)
	}
	for p := int(l.First()); p < next; p++ {
		if fmt.Sprint(got[p]) != fmt.Sprint(h.attempted[p-1]) {
			h.fail("position %d is %q, was %q", p, got[p], h.attempted[p-1])
		}
	}
	h.attempted = h.attempted[:next-1]
	h.told, h.safe = next-1, next-1 // what was read is durable
	return nil
}

// commit appends a transaction and returns its ticket.
func (h *history) commit(sizes ...int) (log.Ticket, error) {
	p := len(h.attempted) + 1
	var events [][]byte
	var words []string
	for i, n := range sizes {
		words = append(words, fmt.Sprintf("p%d-e%d-%s", p, i, strings.Repeat("z", n)))
		events = append(events, []byte(words[i]))
	}
	t, err := h.log.Commit(events, nil)
	if err == nil {
		h.attempted = append(h.attempted, words)
		if int(t.Position) != p {
			h.fail("the ticket is for %d, want %d", t.Position, p)
		}
	}
	return t, err
}

// wait waits for a ticket and notes what it promises.
func (h *history) wait(t log.Ticket) error {
	err := t.Wait()
	if err == nil {
		h.told = max(h.told, int(t.Position))
		if h.opt.Mode == log.SyncCommit {
			h.safe = h.told
		}
	}
	return err
}

// crash ends the process; the next one finds what image makes of its disk.
func (h *history) crash(image func(*logtest.FS) *logtest.FS, power bool) {
	if h.log != nil && power {
		h.safe = max(h.safe, int(h.log.Durable()))
	}
	if !power {
		h.safe = h.told
	}
	h.fs.Die()
	next := image(h.fs)
	if h.log != nil {
		_ = h.log.Close() // it is dead
	}
	h.log, h.fs = nil, next
	h.opt.FS = next
}

// work does a bit of everything that writes, and returns the first failure.
func (h *history) work() error {
	if err := h.open(); err != nil {
		return err
	}
	var last log.Ticket
	for i := range 14 {
		var err error
		if last, err = h.commit(make([]int, 1+i%3)...); err != nil {
			return err
		}
		if i%3 > 0 {
			if err := h.wait(last); err != nil {
				return err
			}
		}
	}
	if err := h.log.Sync(); err != nil {
		return err
	}
	h.safe = len(h.attempted)
	h.told = h.safe
	if err := h.log.Checkpoint(9); err != nil {
		return err
	}
	h.gone = 9
	if err := h.log.Truncate(9); err != nil {
		return err
	}
	t, err := h.commit(100, 100)
	if err == nil {
		err = h.wait(t)
	}
	if err != nil {
		return err
	}
	l := h.log
	h.log = nil
	if err := l.Close(); err != nil {
		return err
	}
	h.safe = len(h.attempted)
	return nil
}

func newHistory(t *testing.T, mode log.SyncMode) *history {
	fs := logtest.New()
	opt := options(fs)
	opt.Mode = mode
	return &history{fail: func(f string, a ...any) { t.Helper(); t.Fatalf(f, a...) }, fs: fs, opt: opt}
}

var modes = map[string]log.SyncMode{"commit": log.SyncCommit, "none": log.SyncNone}

// Every call that changes something fails once, in each way in which a disk fails: the
// failure is told before anything is, nothing is written behind it, and the next process
// has all that was promised.
func TestEveryCallFailsOnce(t *testing.T) {
	contract.Row(t, 44, 45, 48, 53)
	ops := []logtest.Op{logtest.Write, logtest.Sync, logtest.Create, logtest.Rename, logtest.Remove, logtest.SyncDir}
	tried := 0
	for name, mode := range modes {
		whole := newHistory(t, mode)
		if err := whole.work(); err != nil {
			t.Fatal(err)
		}
		for _, op := range ops {
			for n := 1; n <= whole.fs.Count(op); n++ {
				for _, fault := range []error{syscall.EIO, syscall.ENOSPC, logtest.ErrShort} {
					if fault == logtest.ErrShort && op != logtest.Write {
						continue
					}
					h := newHistory(t, mode)
					h.fail = func(f string, a ...any) {
						t.Helper()
						t.Fatalf("mode %s, %s %d fails with %v: %s", name, op, n, fault, fmt.Sprintf(f, a...))
					}
					h.fs.Fail(op, n, fault)
					err := h.work()
					if h.fs.Count(op) < n {
						continue // what is not waited for shared a batch this time
					}
					tried++
					wants := fault
					if fault == logtest.ErrShort {
						wants = io.ErrShortWrite
					}
					if !errors.Is(err, wants) {
						h.fail("%v", err)
					}
					var p *log.PoisonedError
					if h.log != nil && errors.As(err, &p) {
						h.poisoned(p)
					}
					if h.log != nil {
						_ = h.log.Close()
						h.log = nil
					}
					cut := h.fs.PowerLoss(func(int) int { return 0 })
					kept := *h
					for _, next := range []*logtest.FS{h.fs.Killed(), cut} {
						*h = kept
						h.fs, h.opt.FS = next, next
						if err := h.work(); err != nil {
							h.fail("the next process: %v", err)
						}
					}
				}
			}
		}
	}
	if tried < 200 {
		t.Fatalf("%d calls failed, want more", tried)
	}
	contract.Count(t, "faults", tried)
}

// poisoned checks that a log that has failed refuses for good and writes nothing.
func (h *history) poisoned(p *log.PoisonedError) {
	before := h.fs.Count(logtest.Write) + h.fs.Count(logtest.Sync) + h.fs.Count(logtest.Create)
	for range 100 {
		_, err := h.log.Append([]byte("no"), nil)
		if !errors.Is(err, p) || !errors.Is(h.log.Sync(), p) || !errors.Is(h.log.Checkpoint(1), p) || !errors.Is(h.log.Truncate(9), p) {
			h.fail("after the poison: %v", err)
		}
	}
	if now := h.fs.Count(logtest.Write) + h.fs.Count(logtest.Sync) + h.fs.Count(logtest.Create); now != before {
		h.fail("%d calls wrote something after the poison", now-before)
	}
}

// The process is killed at every byte of everything that it writes: segments, notes of
// checkpoints, files for coming segments; a kill inside the creation of a segment leaves
// one that is empty or has half a header, under another name.
func TestKillAtEveryByteOfEverything(t *testing.T) {
	contract.Row(t, 42, 53)
	torn := 0
	for name, mode := range modes {
		for n := 0; ; n++ {
			h := newHistory(t, mode)
			h.fail = func(f string, a ...any) {
				t.Helper()
				t.Fatalf("mode %s, killed after %d bytes: %s", name, n, fmt.Sprintf(f, a...))
			}
			h.fs.DieAfter(n)
			err := h.work()
			if err == nil {
				break
			}
			if !errors.Is(err, logtest.ErrDied) {
				h.fail("%v", err)
			}
			h.crash((*logtest.FS).Killed, false)
			for _, path := range h.fs.Files() {
				if filepath.Ext(path) == ".tmp" && len(h.fs.Bytes(path)) < headSize {
					torn++
				} else if filepath.Ext(path) == ".log" && len(h.fs.Bytes(path)) < headSize {
					h.fail("%s has no header", path)
				}
			}
			if err := h.work(); err != nil {
				h.fail("the next process: %v", err)
			}
			for _, path := range h.fs.Files() {
				if filepath.Ext(path) == ".tmp" {
					h.fail("%s was left", path)
				}
			}
		}
	}
	if torn < 50 {
		t.Fatalf("%d kills inside the creation of a segment, want many", torn)
	}
}

// A disk that says it synced, and did not: whatever is lost, nobody is shown something
// that was not written, and a hole in the middle of what was acknowledged is refused.
func TestADiskThatLies(t *testing.T) {
	contract.Row(t, 51)
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		fs := logtest.New()
		opt := options(fs)
		opt.SegmentSize = 2048
		h := &history{fail: t.Fatalf, fs: fs, opt: opt}
		if err := h.open(); err != nil {
			t.Fatal(err)
		}
		lies := rapid.SliceOfN(rapid.Bool(), 20, 20).Draw(t, "lies")
		n := 0
		fs.Lie(func() bool { n++; return lies[n%len(lies)] })
		for range rapid.IntRange(1, 12).Draw(t, "commits") {
			ticket, err := h.commit(rapid.IntRange(0, 150).Draw(t, "size"))
			if err == nil {
				err = h.wait(ticket)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		fs.Die()
		_ = h.log.Close()
		next := fs.PowerLoss(func(n int) int { return rapid.IntRange(0, n).Draw(t, "kept") })
		h.fs, h.opt.FS, h.safe, h.gone = next, next, 0, 0
		if err := h.open(); isCorrupt(err) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		} else {
			_ = h.log.Close()
		}
	})
	if refused == 0 {
		t.Fatal("no hole was refused")
	}
}

// Random histories of everything at once, in every mode, with spares that are written
// ahead and used again, with kills, power cuts and failures: a simple list says what has
// to be there.
func TestRandomHistories(t *testing.T) {
	contract.Row(t, 42, 46, 53, 55, 57, 58)
	rapid.Check(t, func(t *rapid.T) {
		fs := logtest.New()
		opt := options(fs)
		opt.Mode = rapid.SampledFrom([]log.SyncMode{log.SyncCommit, log.SyncInterval, log.SyncNone}).Draw(t, "mode")
		opt.SegmentSize = rapid.SampledFrom([]int64{256, 700, 4000}).Draw(t, "segment")
		opt.Spares = rapid.SampledFrom([]int{-1, 1, 3}).Draw(t, "spares")
		h := &history{fail: t.Fatalf, fs: fs, opt: opt}
		defer func() {
			if h.log != nil {
				_ = h.log.Close()
			}
		}()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			h.step(t)
		}
	})
}

func (h *history) step(t *rapid.T) {
	if h.log == nil {
		for try := 0; h.open() != nil; try++ { // a fault that was planted for it
			if try > 3 {
				t.Fatalf("it does not open: %v", h.open())
			}
			h.fs = h.fs.Killed()
			h.opt.FS = h.fs
		}
	}
	do := rapid.SampledFrom([]string{"commit", "commit", "commit", "many", "sync", "checkpoint", "close", "kill", "cut", "fault"}).Draw(t, "do")
	var err error
	switch do {
	case "commit":
		var ticket log.Ticket
		if ticket, err = h.commit(rapid.SliceOfN(rapid.IntRange(0, 200), 1, 4).Draw(t, "events")...); err == nil && rapid.Bool().Draw(t, "wait") {
			err = h.wait(ticket)
		}
	case "many":
		var tickets []log.Ticket
		for range rapid.IntRange(1, 20).Draw(t, "many") {
			var ticket log.Ticket
			if ticket, err = h.commit(5); err != nil {
				break
			}
			tickets = append(tickets, ticket)
		}
		for _, ticket := range tickets {
			err = errors.Join(err, h.wait(ticket))
		}
	case "sync":
		upTo := len(h.attempted)
		if err = h.log.Sync(); err == nil {
			h.safe, h.told = upTo, upTo
		}
	case "checkpoint":
		if h.told == 0 {
			return
		}
		p := rapid.IntRange(1, h.told).Draw(t, "covers")
		if err = h.log.Checkpoint(log.Position(p)); err == nil {
			h.gone = max(h.gone, p)
			err = h.log.Truncate(log.Position(p))
			if h.log.Err() == nil {
				err = nil // a failed truncation is none of anybody's business
			}
		}
	case "close":
		upTo := len(h.attempted)
		l := h.log
		h.log = nil
		if l.Close() == nil {
			h.safe, h.told = upTo, upTo
		}
		return
	case "kill":
		h.crash((*logtest.FS).Killed, false)
		return
	case "cut":
		h.crash(func(f *logtest.FS) *logtest.FS {
			return f.PowerLoss(func(n int) int { return rapid.IntRange(0, n).Draw(t, "kept") })
		}, true)
		return
	case "fault":
		op := rapid.SampledFrom([]logtest.Op{logtest.Write, logtest.Sync, logtest.Create, logtest.Rename, logtest.Remove, logtest.SyncDir}).Draw(t, "op")
		h.fs.Fail(op, h.fs.Count(op)+rapid.IntRange(1, 4).Draw(t, "from now"), rapid.SampledFrom([]error{syscall.EIO, syscall.ENOSPC, logtest.ErrShort}).Draw(t, "fault"))
		return
	}
	if err != nil { // poisoned: whatever was not told may be there or not
		var p *log.PoisonedError
		if !errors.As(err, &p) {
			t.Fatalf("%s: %v", do, err)
		}
		h.crash((*logtest.FS).Killed, false)
	}
}
