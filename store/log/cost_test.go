// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
)

func openReal(tb testing.TB, change func(*log.Options)) (*log.Log, string) {
	tb.Helper()
	at := filepath.Join(tb.TempDir(), "log")
	opt := log.Options{NewID: func() [16]byte { return [16]byte{1} }}
	if change != nil {
		change(&opt)
	}
	l, err := log.Open(at, opt)
	if err == nil {
		err = l.Recover(1, nil)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return l, at
}

// A commit allocates nothing, in any mode, on a real disk.
func TestACommitAllocatesNothing(t *testing.T) {
	for name, mode := range map[string]log.SyncMode{"commit": log.SyncCommit, "interval": log.SyncInterval, "none": log.SyncNone} {
		l, _ := openReal(t, func(o *log.Options) { o.Mode, o.Spares = mode, -1 })
		body := bytes.Repeat([]byte("r"), 128)
		commit := func() {
			ticket, err := l.Append(body, nil)
			if err == nil {
				err = ticket.Wait()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		commit()
		if n := testing.AllocsPerRun(200, commit); n >= 1 {
			t.Errorf("mode %s: %.2f allocations for a commit", name, n)
		}
		write := func() {
			if _, err := l.Write(body, nil); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(200, write); n >= 1 {
			t.Errorf("mode %s: %.2f allocations for a write", name, n)
		}
		mustClose(t, l)
	}
}

// Many writers on a real disk share their syncs: sixteen or more to each, when there are
// sixty-four of them.
func TestManyWritersShareASync(t *testing.T) {
	l, at := openReal(t, func(o *log.Options) { o.SegmentSize = 1 << 20 })
	const writers, each = 64, 100
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range each {
				ticket, err := l.Append(fmt.Appendf(nil, "writer %d, record %d", i, n), nil)
				if err == nil {
					err = ticket.Wait()
				}
				if errs[i] = err; err != nil {
					return
				}
			}
		}()
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	st := l.Status()
	if st.Durable != writers*each || st.Syncs*16 > uint64(st.Durable) {
		t.Errorf("%d commits took %d syncs, want one for sixteen at most", st.Durable, st.Syncs)
	}
	mustClose(t, l)
	l, err := log.Open(at, log.Options{NewID: func() [16]byte { return [16]byte{1} }})
	if err != nil {
		t.Fatal(err)
	}
	next := make([]int, writers) // of each writer, in order
	if err := l.Recover(1, func(p log.Position, body []byte) error {
		var i, n int
		if _, err := fmt.Sscanf(string(body), "writer %d, record %d", &i, &n); err != nil || next[i] != n {
			return fmt.Errorf("position %d: %q, expected is record %d of that writer: %v", p, body, next[i], err)
		}
		next[i]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
}

// Appending and truncating at the same time, on a real disk: files are prepared, used
// again and given back, and everything that is left comes back.
func TestSegmentsGoRound(t *testing.T) {
	for name, mode := range map[string]log.SyncMode{"commit": log.SyncCommit, "interval": log.SyncInterval} {
		l, at := openReal(t, func(o *log.Options) { o.SegmentSize, o.Spares, o.Mode = 64<<10, 2, mode })
		body := bytes.Repeat([]byte("r"), 3000)
		for i := range 400 {
			mustAppend(t, l, string(body))
			if i%40 == 39 {
				if err := errors.Join(l.Checkpoint(log.Position(i-20)), l.Truncate(log.Position(i-20))); err != nil {
					t.Fatal(err)
				}
			}
		}
		st := l.Status()
		if st.Segments > 8 || st.Spares > 2 || st.Oldest < 300 {
			t.Errorf("mode %s: %+v", name, st)
		}
		mustClose(t, l)
		again, err := log.Open(at, log.Options{NewID: func() [16]byte { return [16]byte{1} }})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := again.Recover(1, func(_ log.Position, got []byte) error {
			if !bytes.Equal(got, body) {
				return errors.New("another body")
			}
			n++
			return nil
		}); err != nil || n != 400-int(st.Oldest)+1 {
			t.Fatalf("mode %s: %d records, %v", name, n, err)
		}
		mustClose(t, again)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{128, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l, _ := openReal(b, func(o *log.Options) { o.Mode = log.SyncNone })
			body := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ticket, err := l.Append(body, nil)
					if err == nil {
						err = ticket.Wait()
					}
					if err != nil {
						b.Error(err)
					}
				}
			})
			if err := l.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}

// Segments and records of megabytes come back whole, also when a replay ends in the
// middle of one.
func TestLargeRecordsComeBack(t *testing.T) {
	fs := logtest.New()
	opt := options(fs)
	opt.SegmentSize, opt.BlockSize = 8<<20, 4096
	var sizes []int
	for round := range 2 {
		l, err := log.Open(dir, opt)
		if err != nil {
			t.Fatal(err)
		}
		enough := errors.New("enough")
		if round > 0 {
			n := 0
			if err := l.Recover(1, func(log.Position, []byte) error {
				if n++; n == 3 {
					return enough
				}
				return nil
			}); !errors.Is(err, enough) {
				t.Fatal(err)
			}
			mustClose(t, l)
			if l, err = log.Open(dir, opt); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		if err := l.Recover(1, func(p log.Position, body []byte) error {
			if len(body) != sizes[n] || body[0] != byte(n) || body[len(body)-1] != byte(n) {
				return fmt.Errorf("%d bytes of %d", len(body), sizes[n])
			}
			n++
			return nil
		}); err != nil || n != len(sizes) {
			t.Fatalf("%d records, %v", n, err)
		}
		for _, size := range []int{1, 3 << 20, 100, 2 << 20, 4095, log.MaxRecord, 1 << 20, 17} {
			mustAppend(t, l, string(bytes.Repeat([]byte{byte(len(sizes))}, size)))
			sizes = append(sizes, size)
		}
		mustClose(t, l)
	}
	l, err := log.Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Recover(1, nil); err != nil || int(l.Next()) != len(sizes)+1 {
		t.Fatalf("next %d, %v", l.Next(), err)
	}
	mustClose(t, l)
}
