// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// writes reports whether the calling goroutine is in a call of Write.
func writes() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "(*Log).Write") {
			return true
		}
		if !more {
			return false
		}
	}
}

// Who writes alone writes for himself: no other goroutine has a part in it.
func TestAWriterWhoIsAloneWritesForHimself(t *testing.T) {
	contract.Row(t, 65)
	synctest.Test(t, func(t *testing.T) {
		l, _ := mustOpen(t, logtest.New())
		for i := range 20 { // segments change meanwhile
			synctest.Wait() // the flusher sleeps
			alone := false
			p, err := l.Write(fmt.Appendf(nil, "record %d %s", i, strings.Repeat("x", 30)), func(log.Position) { alone = writes() })
			if err != nil || p != log.Position(i+1) || l.Durable() != p {
				t.Fatalf("position %d, %v; durable %d", p, err, l.Durable())
			}
			if !alone {
				t.Fatalf("record %d was written by somebody else", i)
			}
		}
		mustClose(t, l)
	})
}

// Those who come while somebody writes for himself are written by the flusher, in order,
// whichever way they come.
func TestACrowdBehindALonelyWriter(t *testing.T) {
	contract.Row(t, 46)
	synctest.Test(t, func(t *testing.T) {
		fs := logtest.New()
		l, _ := mustOpen(t, fs)
		for round := range 3 {
			synctest.Wait()
			hold := fs.HoldSync()
			var mu sync.Mutex
			var applied []log.Position
			apply := func(p log.Position) {
				mu.Lock()
				defer mu.Unlock()
				applied = append(applied, p)
			}
			const crowd = 12
			first := l.Next()
			errs := make(chan error, crowd)
			for i := range crowd {
				go func() {
					var err error
					if i%3 < 2 {
						_, err = l.Write([]byte("w"), apply)
					} else if ticket, failed := l.Append([]byte("a"), apply); failed != nil {
						err = failed
					} else {
						err = ticket.Wait()
					}
					errs <- err
				}()
				synctest.Wait() // the first is being synced, the others wait behind it
			}
			if len(errs) > 0 || len(applied) > 0 {
				t.Fatal("somebody was told before the sync")
			}
			hold.Release()
			for range crowd {
				if err := <-errs; err != nil {
					t.Fatal(err)
				}
			}
			for i, p := range applied {
				if p != first+log.Position(i) {
					t.Fatalf("round %d: applied %v, from %d on", round, applied, first)
				}
			}
			if len(applied) != crowd || l.Durable() != first+crowd-1 {
				t.Fatalf("round %d: %d applied, durable %d", round, len(applied), l.Durable())
			}
		}
		mustClose(t, l)
		again, got := mustOpen(t, fs.PowerLoss(func(int) int { return 0 }))
		if len(got) != 36 {
			t.Fatalf("%d records came back, of 36", len(got))
		}
		mustClose(t, again)
	})
}

// Who came with others goes with them again: otherwise he would write one while all of them
// wait, and so in turns. When they are gone, he is alone.
func TestNobodyLeavesHisCrowd(t *testing.T) {
	contract.Row(t, 46)
	synctest.Test(t, func(t *testing.T) {
		fs := logtest.New()
		l, _ := mustOpen(t, fs)
		if _, err := l.Commit([][]byte{[]byte("two"), []byte("events")}, nil); err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{false, true, true} {
			synctest.Wait()
			alone := false
			if _, err := l.Write([]byte("w"), func(log.Position) { alone = writes() }); err != nil {
				t.Fatal(err)
			}
			if alone != want {
				t.Errorf("write %d behind a batch of two: for himself: %v, want %v", i+1, alone, want)
			}
		}
		mustClose(t, l)
	})
}

// What was entered gets into the log with what others append, and by Close, whether it is
// pushed or not; and in its order.
func TestWhatWasEnteredGoesWithTheNext(t *testing.T) {
	contract.Row(t, 46)
	synctest.Test(t, func(t *testing.T) {
		fs := logtest.New()
		l, _ := mustOpen(t, fs)
		synctest.Wait()
		entered, err := l.Enter([]byte("entered"), nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if l.Durable() != 0 {
			t.Fatal("somebody was woken")
		}
		mustAppend(t, l, "next")
		if l.Durable() != 2 {
			t.Fatalf("durable %d behind the next", l.Durable())
		}
		entered.Push() // late, and for nothing
		if err := entered.Wait(); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, "alone") // and so the next one is, too
		synctest.Wait()
		if _, err := l.Enter([]byte("left"), nil); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
		again, got := mustOpen(t, fs.PowerLoss(func(int) int { return 0 }))
		want(t, got, "1 entered", "2 next", "3 alone", "4 left")
		mustClose(t, again)
	})
}

// Close waits for whoever writes for himself.
func TestCloseWaitsForALonelyWriter(t *testing.T) {
	contract.Row(t, 48)
	synctest.Test(t, func(t *testing.T) {
		fs := logtest.New()
		l, _ := mustOpen(t, fs)
		synctest.Wait()
		hold := fs.HoldSync()
		wrote, closed := make(chan error, 1), make(chan error, 1)
		go func() { _, err := l.Write([]byte("w"), nil); wrote <- err }()
		synctest.Wait()
		go func() { closed <- l.Close() }()
		synctest.Wait()
		if len(closed) > 0 || len(wrote) > 0 {
			t.Fatal("somebody came back while the disk stood")
		}
		if _, err := l.Write([]byte("late"), nil); !errors.Is(err, log.ErrClosed) {
			t.Fatalf("a write behind Close: %v", err)
		}
		hold.Release()
		if err := errors.Join(<-wrote, <-closed); err != nil {
			t.Fatal(err)
		}
		again, got := mustOpen(t, fs.PowerLoss(func(int) int { return 0 }))
		want(t, got, "1 w")
		mustClose(t, again)
	})
}

// A write that failed has a position when nobody knows what became of it, and none when
// it is certain that there is nothing.
func TestWhatAFailedWriteSays(t *testing.T) {
	contract.Row(t, 45)
	for name, alone := range map[string]bool{"alone": true, "in a crowd": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := logtest.New()
				l, _ := mustOpen(t, fs)
				if p, err := l.Write(nil, nil); !errors.Is(err, log.ErrTooLarge) || p != 0 {
					t.Fatalf("no byte: position %d, %v", p, err)
				}
				if p, err := l.Write([]byte("one"), nil); err != nil || p != 1 {
					t.Fatalf("position %d, %v", p, err)
				}
				synctest.Wait()
				failing := fs.Count(logtest.Sync) + 1
				others := 0
				if !alone {
					hold := fs.HoldSync()
					go func() { _, _ = l.Write([]byte("first"), nil) }()
					synctest.Wait()
					defer hold.Release()
					others++
					go func() { synctest.Wait(); hold.Release() }()
				}
				fs.Fail(logtest.Sync, failing, syscall.EIO)
				p, err := l.Write([]byte("two"), func(log.Position) { t.Error("it was applied") })
				var poison *log.PoisonedError
				if !errors.As(err, &poison) || poison.Op != "fsync" || p != log.Position(2+others) {
					t.Fatalf("position %d, %v; want %d and the poison", p, err, 2+others)
				}
				if p, err := l.Write([]byte("three"), nil); !errors.Is(err, poison) || p != 0 {
					t.Fatalf("behind the failure: position %d, %v; want none, and the poison", p, err)
				}
				if err := l.Close(); !errors.Is(err, poison) {
					t.Fatalf("Close: %v", err)
				}
				if p, err := l.Write([]byte("four"), nil); err == nil || p != 0 {
					t.Fatalf("behind Close: position %d, %v", p, err)
				}
			})
		})
	}
}

// A file that is shorter than a segment is no spare: neither the first one, which is left
// early for one that was written ahead of need, nor one that an earlier process has left.
func TestAShortFileIsNoSpare(t *testing.T) {
	contract.Row(t, 58)
	synctest.Test(t, shortFiles)
}

func shortFiles(t *testing.T) {
	fs := logtest.New()
	const size = 1 << 20
	opt := options(fs)
	opt.SegmentSize, opt.BlockSize, opt.Spares = size, 4096, 4
	start := func() *log.Log {
		l, err := log.Open(dir, opt)
		if err == nil {
			err = l.Recover(1, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	spares := func() (n int) {
		t.Helper()
		for _, path := range fs.Files() {
			if strings.HasSuffix(path, ".spare") {
				n++
				if got := len(fs.Bytes(path)); got < size*7/8 {
					t.Errorf("%s is a spare of %d bytes; a segment has %d", path, got, size)
				}
			}
		}
		return n
	}
	l := start()
	for l.Status().Segments < 3 {
		mustAppend(t, l, strings.Repeat("r", 3000))
		synctest.Wait() // what is prepared is ready
	}
	if first := segments(fs)[0]; len(fs.Bytes(first)) > size/2 {
		t.Fatalf("the first segment has %d bytes: it was not left early", len(fs.Bytes(first)))
	}
	p := l.Durable()
	if err := errors.Join(l.Checkpoint(p), l.Truncate(p)); err != nil || l.Status().Segments != 2 {
		t.Fatalf("%v, %+v", err, l.Status())
	}
	synctest.Wait()
	spares() // the first segment is not among them
	for l.Status().Segments < 5 {
		mustAppend(t, l, strings.Repeat("r", 3000))
		synctest.Wait() // what is prepared is ready
	}
	p = l.Durable()
	if err := errors.Join(l.Checkpoint(p), l.Truncate(p)); err != nil || l.Status().Segments != 2 {
		t.Fatalf("%v, %+v", err, l.Status())
	}
	mustClose(t, l)
	before := spares()
	if before < 2 {
		t.Fatalf("%d spares of two segments that were full, and are not needed", before)
	}
	fs.Put(dir+"/00000000000000000099.spare", make([]byte, 4096))
	l, err := log.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	if n := spares(); n != before {
		t.Errorf("%d spares are left of %d", n, before)
	}
}
