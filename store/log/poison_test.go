// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// The first failed write, fsync or rotation poisons the log for good: everybody
// who waits is told, nothing is written any more, and the call is never repeated.
func TestFailurePoisonsForGood(t *testing.T) {
	for _, c := range []struct {
		fault logtest.Op
		op    string
		body  string // of the record that meets the fault
	}{
		{logtest.Write, "write", "second"},
		{logtest.Sync, "fsync", "second"},
		{logtest.Create, "rotate", strings.Repeat("x", 200)},
		{logtest.Rename, "rotate", strings.Repeat("x", 200)},
		{logtest.SyncDir, "rotate", strings.Repeat("x", 200)},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			fs := logtest.New()
			l, _ := mustOpen(t, fs)
			mustAppend(t, l, "first")
			fs.Fail(c.fault, fs.Count(c.fault)+1, syscall.EIO)
			err := appendOne(l, c.body)
			var p *log.PoisonedError
			if !errors.As(err, &p) || p.Op != c.op || !errors.Is(err, syscall.EIO) {
				t.Fatalf("%v, want *PoisonedError of %s", err, c.op)
			}
			writes, syncs := fs.Count(logtest.Write), fs.Count(logtest.Sync)
			for range 3 {
				if again := appendOne(l, "third"); !errors.Is(again, p) {
					t.Fatalf("later: %v, want the same error", again)
				}
			}
			if !errors.Is(l.Err(), p) || l.Durable() != 1 {
				t.Fatalf("Err %v, durable %d, want the poison and 1", l.Err(), l.Durable())
			}
			if err := l.Close(); !errors.Is(err, p) {
				t.Fatalf("Close: %v, want the poison", err)
			}
			if fs.Count(logtest.Write) != writes || fs.Count(logtest.Sync) != syncs {
				t.Fatal("something was written, or synced again, after the failure")
			}
			l, got := mustOpen(t, fs.Killed()) // only opening clears it
			if len(got) < 1 || got[0] != "1 first" {
				t.Fatalf("replayed %q", got)
			}
			mustAppend(t, l, "on")
		})
	}
}

// Records that wait behind the batch that fails are told as well.
func TestPoisonReachesEverybodyWhoWaits(t *testing.T) {
	fs := logtest.New()
	l, _ := mustOpen(t, fs)
	hold := fs.HoldSync()
	fs.Fail(logtest.Sync, fs.Count(logtest.Sync)+1, syscall.EIO)
	var tickets []log.Ticket
	for i := range 20 {
		ticket, err := l.Append([]byte(fmt.Sprint("r", i)), func(log.Position) { t.Error("a failed record was applied") })
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
		<-hold.Arrived // the first is being synced, the others wait behind it
	}
	hold.Release()
	for _, ticket := range tickets {
		<-ticket.Done()
		if !errors.Is(ticket.Err(), syscall.EIO) {
			t.Fatalf("position %d: %v", ticket.Position, ticket.Err())
		}
	}
}

// Many waiters, one fsync: while it runs, the next batch collects.
func TestGroupedFsync(t *testing.T) {
	fs := logtest.New()
	opt := options(fs)
	opt.SegmentSize = 1 << 20
	l, err := log.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(1, nil); err != nil {
		t.Fatal(err)
	}
	before := fs.Count(logtest.Sync)
	hold := fs.HoldSync()
	var mu sync.Mutex
	var applied []log.Position
	var tickets []log.Ticket
	for range 500 {
		ticket, err := l.Append([]byte("r"), func(p log.Position) {
			mu.Lock()
			defer mu.Unlock()
			applied = append(applied, p)
		})
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, ticket)
	}
	select {
	case <-tickets[0].Done():
		t.Fatal("told before the fsync")
	default:
	}
	hold.Release()
	for i, ticket := range tickets {
		<-ticket.Done()
		mu.Lock()
		n := len(applied)
		mu.Unlock()
		if ticket.Err() != nil || n <= i || ticket.Position != log.Position(i+1) {
			t.Fatalf("record %d: position %d, %v, %d applied", i, ticket.Position, ticket.Err(), n)
		}
	}
	for i, p := range applied {
		if p != log.Position(i+1) {
			t.Fatalf("applied %d as number %d", p, i+1)
		}
	}
	if n := fs.Count(logtest.Sync) - before; n > 2 {
		t.Fatalf("%d fsyncs for 500 records, want 2 at most", n)
	}
}

// Readers see a record before its client is told: otherwise a client could write
// and then not read it.
func TestAppliedBeforeTold(t *testing.T) {
	l, _ := mustOpen(t, logtest.New())
	applying, looked := make(chan struct{}), make(chan struct{})
	ticket, err := l.Append([]byte("r"), func(log.Position) { close(applying); <-looked })
	if err != nil {
		t.Fatal(err)
	}
	<-applying
	select {
	case <-ticket.Done():
		t.Error("the client was told while the record was being applied")
	default:
	}
	close(looked)
	<-ticket.Done()
}

// Append waits when the flusher does not keep up, and goes on when it does.
func TestPendingBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := logtest.New()
		opt := options(fs)
		opt.MaxPending = 100
		l, err := log.Open(dir, opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Recover(1, nil); err != nil {
			t.Fatal(err)
		}
		hold := fs.HoldSync()
		done := make(chan struct{})
		var taken atomic.Int64
		go func() {
			defer close(done)
			for range 50 {
				if _, err := l.Append(make([]byte, 60), nil); err != nil {
					t.Error(err)
				}
				taken.Add(1)
			}
		}()
		synctest.Wait() // nobody moves until the flusher does
		if n := taken.Load(); n < 1 || n > 3 {
			t.Errorf("%d records of 60 bytes were taken while the flusher stood; 100 bytes may wait", n)
		}
		hold.Release()
		<-done
		mustClose(t, l)
		if l.Durable() != 50 {
			t.Fatalf("durable %d, want 50", l.Durable())
		}
	})
}
