// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salvor-io/salvor/store/log"
)

func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

// salvor is ours. With cover, a checkpoint covers everything each tenth of a second.
func salvor(cover bool, change func(*log.Options)) func(string) (func([]byte) error, func() error, error) {
	return func(dir string) (func([]byte) error, func() error, error) {
		opt := log.Options{NewID: newID, SegmentSize: 64 << 20}
		if change != nil {
			change(&opt)
		}
		l, err := log.Open(filepath.Join(dir, "log"), opt)
		if err != nil {
			return nil, nil, err
		}
		if err := l.Recover(1, nil); err != nil {
			return nil, nil, err
		}
		stop, stopped := make(chan struct{}), make(chan error, 1)
		go func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					stopped <- nil
					return
				case <-tick.C:
				}
				if cover {
					if err := l.Truncate(l.Durable()); err != nil {
						stopped <- err
						return
					}
				}
			}
		}()
		commit := func(body []byte) error {
			_, err := l.Write(body, nil)
			return err
		}
		return commit, func() error {
			close(stop)
			st := l.Status()
			fmt.Printf("  (%d commits in %d flushes, %d syncs: %.1f commits a sync)\n", st.Durable, st.Flushes, st.Syncs, float64(st.Written)/float64(max(st.Syncs, 1)))
			return errors.Join(<-stopped, l.Close())
		}, nil
	}
}

// measureReplay writes a log, forgets what is in memory, and reads it: as a file, and as
// a log.
func measureReplay(dir string, mib int, sizes []int) error {
	for _, size := range sizes {
		at := filepath.Join(dir, fmt.Sprint("replay", size))
		if err := fillLog(at, mib, size); err != nil {
			return err
		}
		for round := range 3 {
			if err := forget(at); err != nil {
				return err
			}
			began := time.Now()
			n, err := readAll(at)
			if err != nil {
				return err
			}
			raw := float64(n) / 1e6 / time.Since(began).Seconds()
			if err := forget(at); err != nil {
				return err
			}
			l, err := log.Open(at, log.Options{NewID: newID, SegmentSize: 64 << 20})
			if err != nil {
				return err
			}
			records, bytes := 0, 0
			began = time.Now()
			if err := l.Recover(1, func(_ log.Position, body []byte) error { records++; bytes += len(body); return nil }); err != nil {
				return err
			}
			took := time.Since(began)
			fmt.Printf("replay, records of %d bytes, round %d: %d records, %.0f MB of files: read as files %.0f MB/s, replayed %.0f MB/s (%.2f of it), %.0f records/s\n",
				size, round, records, float64(n)/1e6, raw, float64(n)/1e6/took.Seconds(), float64(n)/1e6/took.Seconds()/raw, float64(records)/took.Seconds())
			if err := l.Close(); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(at); err != nil {
			return err
		}
	}
	return nil
}

func fillLog(at string, mib, size int) error {
	l, err := log.Open(at, log.Options{NewID: newID, SegmentSize: 64 << 20, Mode: log.SyncNone, Spares: -1})
	if err != nil {
		return err
	}
	if err := l.Recover(1, nil); err != nil {
		return err
	}
	body := make([]byte, size)
	var t log.Ticket
	for n := 0; n < mib<<20; n += size + 28 {
		if t, err = l.Append(body, nil); err != nil {
			return err
		}
	}
	if err := t.Wait(); err != nil {
		return err
	}
	return l.Close()
}

// forget drops what is in memory of a log's files, and of no others.
func forget(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		err = f.Sync() // what is dirty cannot be dropped
		if err == nil {
			err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func readAll(dir string) (int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	total, buf := int64(0), make([]byte, 1<<20)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".log") {
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return 0, err
		}
		for {
			n, err := f.Read(buf)
			total += int64(n)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return 0, errors.Join(err, f.Close())
			}
		}
		if err := f.Close(); err != nil {
			return 0, err
		}
	}
	return total, nil
}
