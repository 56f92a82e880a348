// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
)

// remains are what a kill has left of a log.
type remains struct {
	first, last uint64
	// records by position, each as it was sent.
	records map[uint64]store.Transaction
	// rotating: there is a segment that the flush has not reached for which it was made.
	rotating bool
}

// at is where a transaction stands; 0: nowhere.
func (r remains) at(token string) uint64 {
	for p, t := range r.records {
		if t.ID == token {
			return p
		}
	}
	return 0
}

// remains reads the log as the kill has left it, from a copy.
func (v *victim) remains() remains {
	v.t.Helper()
	from, dir := filepath.Join(v.dir, "data", "log"), filepath.Join(v.dir, "left")
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(from))); err != nil {
		v.t.Fatal(err)
	}
	newest, begun := v.segments(dir)
	l, err := log.Open(dir, log.Options{NewID: func() [16]byte { return ulid.Make() }, Mode: log.SyncNone, Spares: -1})
	if err != nil {
		v.t.Fatal(err)
	}
	defer l.Close()
	left := remains{records: map[uint64]store.Transaction{}}
	err = l.Recover(1, func(p log.Position, raw []byte) error {
		var t struct {
			ID     string            `json:"id"`
			Writes []store.Statement `json:"writes"`
		}
		if err := json.Unmarshal(raw, &t); err != nil {
			return err
		}
		if _, twice := left.records[uint64(p)]; twice {
			v.t.Fatalf("position %d is there twice", p)
		}
		left.records[uint64(p)] = store.Transaction{ID: t.ID, Statements: t.Writes}
		return nil
	})
	if err != nil {
		v.t.Fatalf("the log that the kill has left: %v", err)
	}
	if l.Unbroken() != l.First() {
		v.t.Fatal("the log has a gap")
	}
	left.first, left.last = uint64(l.First()), uint64(l.Durable())
	// A new segment has its header first and then its name; and then the flush that it was
	// made for. A note of a checkpoint in it is another flush.
	empty := left.last+1 == newest.first && uint64(l.Checkpointed()) <= newest.checkpoint
	left.rotating = begun > newest.first || empty
	return left
}

// header is the beginning of a segment, as package log documents it.
type header struct{ first, checkpoint uint64 }

// segments returns the header of the newest segment, and the highest position with which
// a file begins that has no name yet.
func (v *victim) segments(dir string) (newest header, begun uint64) {
	v.t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		v.t.Fatal(err)
	}
	slices.Sort(files)
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			v.t.Fatal(err)
		}
		raw := make([]byte, 64)
		n, _ := f.Read(raw)
		_ = f.Close()
		if n < len(raw) || !strings.HasPrefix(string(raw), "salvorL2") {
			continue
		}
		h := header{binary.LittleEndian.Uint64(raw[24:]), binary.LittleEndian.Uint64(raw[48:])}
		if filepath.Ext(path) == ".log" {
			newest = h
		} else {
			begun = max(begun, h.first)
		}
	}
	return newest, begun
}

// pendingNow are the operations that are not finished, as the root lists them.
func (v *victim) pendingNow() (ops []string) {
	v.t.Helper()
	listed, err := recovery.List(v.t.Context(), v.bucket)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, l := range listed {
		ops = append(ops, string(l.Operation()))
	}
	return ops
}

func (v *victim) state() *manifest.State {
	v.t.Helper()
	m, err := manifest.Open(v.t.Context(), v.bucket, manifest.Options{NewID: newID})
	if err != nil {
		v.t.Fatal(err)
	}
	return m.View()
}

// outcomes is how many the manifest has for an operation.
func (v *victim) outcomes(op string) (n int) {
	v.t.Helper()
	for _, o := range v.state().Outcomes {
		if string(o.Operation) == op {
			n++
		}
	}
	return n
}

// covered is the position up to which the root has everything.
func (v *victim) covered() (p uint64) {
	v.t.Helper()
	for _, pin := range v.state().Tables {
		p = max(p, uint64(pin.Position))
	}
	return p
}
