// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	pebblewal "github.com/cockroachdb/pebble/v2/wal"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
	tidwall "github.com/tidwall/wal"
	etcdwal "go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"

	"github.com/salvor-io/salvor/store/log"
)

var systems = []system{
	{name: "raw fdatasync, growing file", open: raw(false), alone: true},
	{name: "raw fdatasync, zeros before", open: raw(true), alone: true},
	{name: "salvor", open: salvor(true, nil)},
	{name: "salvor, nothing truncated", open: salvor(false, nil)},
	{name: "salvor, interval", open: salvor(true, func(o *log.Options) { o.Mode = log.SyncInterval })},
	{name: "etcd wal", open: serial(etcd)},
	{name: "etcd wal, grouped", open: grouped(etcd)},
	{name: "raft-wal", open: serial(raftWAL)},
	{name: "raft-wal, grouped", open: grouped(raftWAL)},
	{name: "tidwall/wal", open: serial(tidwallLog)},
	{name: "tidwall/wal, grouped", open: grouped(tidwallLog)},
	{name: "pebble wal, recycled", open: pebble},
}

// writer writes records one after the other and makes them durable in one go. One call
// at a time.
type writer func(bodies [][]byte) error

type opener func(dir string) (writer, func() error, error)

// serial is the bare peer: a sync for each record, one at a time.
func serial(open opener) func(string) (func([]byte) error, func() error, error) {
	return func(dir string) (func([]byte) error, func() error, error) {
		write, end, err := open(dir)
		var mu sync.Mutex
		return func(body []byte) error {
			mu.Lock()
			defer mu.Unlock()
			return write([][]byte{body})
		}, end, err
	}
}

// grouped puts a group commit before the peer: one goroutine writes what has collected
// while it was busy.
func grouped(open opener) func(string) (func([]byte) error, func() error, error) {
	type group struct {
		bodies [][]byte
		done   chan struct{}
		err    error
	}
	return func(dir string) (func([]byte) error, func() error, error) {
		write, end, err := open(dir)
		if err != nil {
			return nil, nil, err
		}
		var mu sync.Mutex
		wake := sync.NewCond(&mu)
		pending, closing := &group{done: make(chan struct{})}, false
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				mu.Lock()
				for len(pending.bodies) == 0 && !closing {
					wake.Wait()
				}
				g := pending
				pending = &group{done: make(chan struct{}), bodies: make([][]byte, 0, len(g.bodies))}
				mu.Unlock()
				if len(g.bodies) == 0 {
					return
				}
				g.err = write(g.bodies)
				close(g.done)
			}
		}()
		commit := func(body []byte) error {
			mu.Lock()
			g := pending
			g.bodies = append(g.bodies, body)
			wake.Signal()
			mu.Unlock()
			<-g.done
			return g.err
		}
		return commit, func() error {
			mu.Lock()
			closing = true
			wake.Signal()
			mu.Unlock()
			<-stopped
			return end()
		}, nil
	}
}

func etcd(dir string) (writer, func() error, error) {
	w, err := etcdwal.Create(zap.NewNop(), filepath.Join(dir, "wal"), []byte("bench"))
	if err != nil {
		return nil, nil, err
	}
	index, term, kind := uint64(0), uint64(1), raftpb.EntryNormal
	return func(bodies [][]byte) error {
		entries := make([]*raftpb.Entry, len(bodies))
		for i, b := range bodies {
			index++
			at := index
			entries[i] = &raftpb.Entry{Index: &at, Term: &term, Type: &kind, Data: b}
		}
		return w.Save(&raftpb.HardState{}, entries)
	}, w.Close, nil
}

func raftWAL(dir string) (writer, func() error, error) {
	w, err := raftwal.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	index := uint64(0)
	return func(bodies [][]byte) error {
		logs := make([]*raft.Log, len(bodies))
		for i, b := range bodies {
			index++
			logs[i] = &raft.Log{Index: index, Term: 1, Data: b}
		}
		return w.StoreLogs(logs)
	}, w.Close, nil
}

func tidwallLog(dir string) (writer, func() error, error) {
	w, err := tidwall.Open(filepath.Join(dir, "wal"), nil)
	if err != nil {
		return nil, nil, err
	}
	index := uint64(0)
	var batch tidwall.Batch
	return func(bodies [][]byte) error {
		batch.Clear()
		for _, b := range bodies {
			index++
			batch.Write(index, b)
		}
		return w.WriteBatch(&batch)
	}, w.Close, nil
}

type quiet struct{}

func (quiet) Infof(string, ...any)            {}
func (quiet) Errorf(string, ...any)           {}
func (quiet) Fatalf(format string, a ...any)  { panic(fmt.Sprintf(format, a...)) }
func (quiet) LogCreated(pebblewal.CreateInfo) {}

// pebble has its own group commit. A file is full after 64 MiB and used again, as where
// a memtable was flushed; one was filled before.
func pebble(dir string) (func([]byte) error, func() error, error) {
	const full = 64 << 20
	at, err := vfs.Default.OpenDir(dir)
	if err != nil {
		return nil, nil, err
	}
	if err := at.Close(); err != nil {
		return nil, nil, err
	}
	slots := make(chan struct{}, 4096)
	m, err := pebblewal.Init(pebblewal.Options{
		Primary: pebblewal.Dir{FS: vfs.Default, Dirname: dir}, MaxNumRecyclableLogs: 2, BytesPerSync: 0,
		PreallocateSize: func() int { return full }, Logger: quiet{}, EventListener: quiet{},
		WriteWALSyncOffsets: func() bool { return true }, QueueSemChan: slots,
	}, nil)
	if err != nil {
		return nil, nil, err
	}
	number, offset := pebblewal.NumWAL(1), int64(0)
	w, err := m.Create(number, 1)
	if err != nil {
		return nil, nil, err
	}
	next := func() error {
		if _, err := w.Close(); err != nil {
			return err
		}
		number++
		if _, err := m.Obsolete(number, false); err != nil {
			return err
		}
		w, err = m.Create(number, 1)
		return err
	}
	block := make([]byte, 1<<20)
	for range 2 { // files that were written before
		for range full >> 20 {
			if _, err := w.WriteRecord(block, pebblewal.SyncOptions{}, nil); err != nil {
				return nil, nil, err
			}
		}
		if err := next(); err != nil {
			return nil, nil, err
		}
	}
	type sync1 struct {
		done sync.WaitGroup
		err  error
	}
	pool := sync.Pool{New: func() any { return new(sync1) }}
	var mu sync.Mutex
	return func(body []byte) error {
			s := pool.Get().(*sync1)
			defer pool.Put(s)
			s.err = nil
			s.done.Add(1)
			slots <- struct{}{}
			mu.Lock()
			if offset > full {
				if err := next(); err != nil {
					mu.Unlock()
					return err
				}
			}
			var err error
			offset, err = w.WriteRecord(body, pebblewal.SyncOptions{Done: &s.done, Err: &s.err}, nil)
			mu.Unlock()
			if err != nil {
				return err
			}
			s.done.Wait()
			return s.err
		}, func() error {
			_, err := w.Close()
			return errors.Join(err, m.Close())
		}, nil
}

// raw writes 4 KiB and syncs: what the disk does without a log.
func raw(zeros bool) func(string) (func([]byte) error, func() error, error) {
	return func(dir string) (func([]byte) error, func() error, error) {
		const size = 64 << 20
		f, err := os.Create(filepath.Join(dir, "raw"))
		if err != nil {
			return nil, nil, err
		}
		block := make([]byte, 4096)
		if zeros {
			for at := int64(0); at < size && err == nil; at += int64(len(block)) {
				_, err = f.WriteAt(block, at)
			}
			if err = errors.Join(err, f.Sync()); err != nil {
				return nil, nil, err
			}
		}
		at := int64(0)
		return func([]byte) error {
			if zeros && at == size {
				at = 0
			}
			if _, err := f.WriteAt(block, at); err != nil {
				return err
			}
			at += int64(len(block))
			return syscall.Fdatasync(int(f.Fd()))
		}, f.Close, nil
	}
}
