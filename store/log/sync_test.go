// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

const interval = 40 * time.Millisecond

func openMode(t *testing.T, fs log.FS, mode log.SyncMode, change ...func(*log.Options)) *log.Log {
	t.Helper()
	opt := options(fs)
	opt.Mode, opt.Interval, opt.SegmentSize = mode, interval, 64<<10
	for _, c := range change {
		c(&opt)
	}
	l, err := log.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(1, nil); err != nil {
		t.Fatal(err)
	}
	return l
}

// lost is a power cut that keeps nothing that was not synced.
func lost(fs *logtest.FS) *logtest.FS { return fs.PowerLoss(func(int) int { return 0 }) }

// survives opens what a crash has left, and ends.
func survives(t *testing.T, fs log.FS) []string {
	t.Helper()
	l, got := mustOpen(t, fs)
	mustClose(t, l)
	return got
}

// Without a sync for each commit nobody waits for the disk, and the durable position
// says what is safe: it moves with a sync and with nothing else.
func TestDurableMovesOnlyWithASync(t *testing.T) {
	contract.Row(t, 46, 47)
	for _, mode := range []log.SyncMode{log.SyncInterval, log.SyncNone} {
		synctest.Test(t, func(t *testing.T) {
			fs := logtest.New()
			l := openMode(t, fs, mode)
			syncs := fs.Count(logtest.Sync)
			mustAppend(t, l, "one", "two", "three")
			if st := l.Status(); st.Durable != 0 || st.Written != 3 || st.Next != 4 || fs.Count(logtest.Sync) != syncs {
				t.Fatalf("mode %d: %+v after %d syncs, want three that are written and not durable", mode, st, fs.Count(logtest.Sync)-syncs)
			}
			got := survives(t, fs.Killed()) // a death of the process costs nothing
			want(t, got, "1 one", "2 two", "3 three")
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
			if st := l.Status(); st.Durable != st.Next-1 || fs.Count(logtest.Sync) != syncs+1 {
				t.Fatalf("mode %d: %+v after a forced sync", mode, st)
			}
			mustAppend(t, l, "four")
			got = survives(t, lost(fs))
			want(t, got, "1 one", "2 two", "3 three")
			mustClose(t, l) // makes the rest durable
			got = survives(t, lost(fs))
			want(t, got, "1 one", "2 two", "3 three", "4 four")
		})
	}
}

// A power cut at any moment costs nothing that was told before an interval ago, and a
// commit that waits finds its sync by itself.
func TestAPowerCutCostsOneIntervalAtMost(t *testing.T) {
	contract.Row(t, 46)
	synctest.Test(t, func(t *testing.T) {
		fs := logtest.New()
		l := openMode(t, fs, log.SyncInterval)
		var told []time.Time // of the n-th position
		for i := range 400 {
			mustAppend(t, l, fmt.Sprint("r", i))
			told = append(told, time.Now())
			time.Sleep(time.Millisecond)
			synctest.Wait()
			durable := int(l.Durable())
			for p := durable; p < len(told); p++ {
				if age := time.Since(told[p]); age > interval {
					t.Fatalf("position %d was told %s ago and is not durable", p+1, age)
				}
			}
			if i%37 == 0 {
				got := survives(t, lost(fs))
				if len(got) != durable {
					t.Fatalf("%d records survived a power cut, durable was %d", len(got), durable)
				}
			}
		}
		if syncs := l.Status().Syncs; syncs < 10 || syncs > 30 {
			t.Fatalf("%d syncs in 400 ms of intervals of %s", syncs, interval)
		}
		mustClose(t, l)
	})
}

// A disk that syncs slower than the interval holds the writers back: what a power cut
// costs stays what was promised.
func TestASlowSyncHoldsTheWritersBack(t *testing.T) {
	contract.Row(t, 46)
	synctest.Test(t, func(t *testing.T) {
		fs := logtest.New()
		l := openMode(t, fs, log.SyncInterval)
		hold := fs.HoldSync()
		began := time.Now()
		var told []time.Time
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 200 {
				mustAppend(t, l, fmt.Sprint("r", i))
				told = append(told, time.Now())
				time.Sleep(time.Millisecond)
			}
		}()
		<-hold.Arrived
		time.Sleep(10 * interval) // and the disk does not answer
		synctest.Wait()
		if l.Durable() != 0 || len(told) == 0 {
			t.Fatalf("durable %d, told %d", l.Durable(), len(told))
		}
		if last := told[len(told)-1].Sub(began); last > interval {
			t.Fatalf("position %d was told %s after the first one, while nothing was durable; the interval is %s", len(told), last, interval)
		}
		hold.Release()
		<-done
		if err := l.Sync(); err != nil || l.Durable() != 200 {
			t.Fatalf("durable %d, %v", l.Durable(), err)
		}
		mustClose(t, l)
	})
}

// A sync behind everybody's back that fails is everybody's: the next commit is refused,
// the cause is in the status, and no later sync hides it, that of Close neither.
func TestAFailedSyncBehindEverybodysBack(t *testing.T) {
	contract.Row(t, 44, 48)
	synctest.Test(t, func(t *testing.T) {
		fs := logtest.New()
		l := openMode(t, fs, log.SyncInterval)
		mustAppend(t, l, "one")
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, "two")
		fs.Fail(logtest.Sync, fs.Count(logtest.Sync)+1, syscall.EIO)
		time.Sleep(2 * interval)
		synctest.Wait()
		syncs, writes := fs.Count(logtest.Sync), fs.Count(logtest.Write)
		var p *log.PoisonedError
		for range 100 {
			if err := appendOne(l, "three"); !errors.As(err, &p) || p.Op != "fsync" || !errors.Is(err, syscall.EIO) {
				t.Fatalf("%v, want the poison of the sync", err)
			}
			if err := l.Sync(); !errors.As(err, &p) {
				t.Fatalf("a forced sync: %v", err)
			}
		}
		if st := l.Status(); st.Failure != p.Error() || !strings.Contains(st.Failure, "input/output error") || st.Durable != 1 {
			t.Fatalf("%+v", st)
		}
		if err := l.Close(); !errors.Is(err, p) {
			t.Fatalf("Close: %v", err)
		}
		if st := l.Status(); st.Durable != 1 || fs.Count(logtest.Sync) != syncs || fs.Count(logtest.Write) != writes {
			t.Fatalf("after Close: %+v, %d syncs and %d writes more", st, fs.Count(logtest.Sync)-syncs, fs.Count(logtest.Write)-writes)
		}
		survives(t, fs.Killed())
	})
}

// The last sync, that of Close, may fail as well: it is told, and nothing is durable.
func TestTheSyncOfCloseFails(t *testing.T) {
	contract.Row(t, 48)
	fs := logtest.New()
	l := openMode(t, fs, log.SyncNone)
	mustAppend(t, l, "one")
	fs.Fail(logtest.Sync, fs.Count(logtest.Sync)+1, syscall.EIO)
	var p *log.PoisonedError
	if err := l.Close(); !errors.As(err, &p) || p.Op != "fsync" || l.Durable() != 0 {
		t.Fatalf("%v, durable %d", err, l.Durable())
	}
}

// Full segments are durable whatever the mode: nothing is torn behind a seal.
func TestASealedSegmentIsDurable(t *testing.T) {
	contract.Row(t, 47, 52)
	fs := logtest.New()
	l := openMode(t, fs, log.SyncNone, func(o *log.Options) { o.SegmentSize = 256 })
	var all []string
	for i := range 10 {
		body := fmt.Sprintf("record-%d-%s", i, strings.Repeat("x", 20))
		mustAppend(t, l, body)
		all = append(all, fmt.Sprintf("%d %s", i+1, body))
	}
	if l.Durable() != 9 {
		t.Fatalf("durable %d, want what stands in the three segments that are full", l.Durable())
	}
	got := survives(t, lost(fs))
	want(t, got, all[:9]...)
	mustClose(t, l)
}

// What a log says of itself, step by step.
func TestStatus(t *testing.T) {
	contract.Row(t, 61)
	fs := logtest.New()
	l := openMode(t, fs, log.SyncNone, func(o *log.Options) { o.SegmentSize = 256 })
	says := func(what string, want log.Status) {
		t.Helper()
		st := l.Status()
		want.Flushes, want.Syncs, want.Batches = st.Flushes, st.Syncs, st.Batches
		if files := fs.Used(); st.Bytes <= 0 || st.Bytes != int64(files) {
			t.Fatalf("%s: it says that it holds %d bytes, its files have %d", what, st.Bytes, files)
		}
		want.Bytes = st.Bytes
		if st != want {
			t.Fatalf("%s:\n%+v, want\n%+v", what, st, want)
		}
	}
	body := strings.Repeat("x", 30)
	says("new", log.Status{Next: 1, Oldest: 1, Active: 1, Segments: 1})
	mustAppend(t, l, body, body)
	says("two", log.Status{Next: 3, Written: 2, Oldest: 1, Active: 1, Segments: 1})
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	says("synced", log.Status{Next: 3, Written: 2, Durable: 2, Oldest: 1, Active: 1, Segments: 1})
	mustAppend(t, l, body, body, body, body, body, body)
	says("three segments", log.Status{Next: 9, Written: 8, Durable: 6, Oldest: 1, Active: 7, Segments: 3})
	if err := errors.Join(l.Checkpoint(3), l.Truncate(3)); err != nil {
		t.Fatal(err)
	}
	says("truncated", log.Status{Next: 9, Written: 8, Durable: 6, Oldest: 4, Active: 7, Checkpoint: 3, Segments: 2})
	fs.Fail(logtest.Sync, fs.Count(logtest.Sync)+1, syscall.ENOSPC)
	err := l.Sync()
	says("failed", log.Status{Next: 9, Written: 8, Durable: 6, Oldest: 4, Active: 7, Checkpoint: 3, Segments: 2, Failure: err.Error()})
	if err == nil || !strings.Contains(err.Error(), "fsync failed") || !strings.Contains(err.Error(), "no space left on device") {
		t.Fatal(err)
	}
}

// A second owner waits for the first to end, a tenth of a second, and is told whose
// directory it is.
func TestAlreadyOpen(t *testing.T) {
	contract.Row(t, 54)
	synctest.Test(t, func(t *testing.T) {
		fs := logtest.New()
		l := openMode(t, fs, log.SyncCommit)
		began := time.Now()
		_, _, err := open(fs)
		var open1 *log.AlreadyOpenError
		if !errors.As(err, &open1) || open1.Dir != dir || !errors.Is(err, log.ErrLocked) {
			t.Fatalf("%v, want *AlreadyOpenError of %s", err, dir)
		}
		if waited := time.Since(began); waited < 100*time.Millisecond || waited > 110*time.Millisecond {
			t.Fatalf("it waited %s", waited)
		}
		go func() { // the first one ends in time
			time.Sleep(60 * time.Millisecond)
			mustClose(t, l)
		}()
		next, _, err := open(fs)
		if err != nil {
			t.Fatal(err)
		}
		mustClose(t, next)
	})
}
