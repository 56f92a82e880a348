// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/google/btree"

	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/mirror"
)

// A snapshot in the mirror is all tables at one position: for each a line, and a line for
// each of its rows.
//
//	{"table":"accounts","last":812,"rows":2}
//	{"key":"alice","row":{...}}
//	{"key":"bob","row":{...}}
type snapshotTable struct {
	Table string       `json:"table"`
	Last  log.Position `json:"last"` // of its newest write
	Rows  int          `json:"rows"`
}

// snapshotAll is a snapshot of everything; transactions go on while it is written.
func (t *tables) snapshotAll() mirror.Snapshot {
	t.mu.Lock() // cloning a tree excludes its writers and its readers
	defer t.mu.Unlock()
	trees, last := map[string]*btree.BTreeG[Row]{}, map[string]log.Position{}
	for name, tab := range t.visible {
		trees[name], last[name] = tab.rows.Clone(), tab.last
	}
	return mirror.Snapshot{Position: t.applied, Write: func(w io.Writer) error {
		out := bufio.NewWriter(w)
		enc := json.NewEncoder(out)
		for _, name := range slices.Sorted(maps.Keys(trees)) {
			err := enc.Encode(snapshotTable{Table: name, Last: last[name], Rows: trees[name].Len()})
			trees[name].Ascend(func(r Row) bool {
				if err == nil {
					err = enc.Encode(r)
				}
				return err == nil
			})
			if err != nil {
				return err
			}
		}
		return out.Flush()
	}}
}

// loadSnapshot takes over a snapshot, as a whole or not at all.
func (s *Store) loadSnapshot(ctx context.Context, in mirror.Reader, n mirror.SnapshotName) error {
	stream, err := in.Snapshot(ctx, n)
	if err != nil {
		return err
	}
	defer stream.Close()
	loaded := map[string]*table{}
	dec := json.NewDecoder(bufio.NewReader(stream))
	for {
		var head snapshotTable
		err := dec.Decode(&head)
		if errors.Is(err, io.EOF) {
			break
		}
		tab := &table{rows: newTree(), last: head.Last}
		for range head.Rows {
			var r Row
			if err == nil {
				err = dec.Decode(&r)
			}
			if err != nil {
				break
			}
			tab.rows.ReplaceOrInsert(r)
		}
		if err == nil && tab.rows.Len() != head.Rows {
			err = fmt.Errorf("table %s has %d rows, and says %d", head.Table, tab.rows.Len(), head.Rows)
		}
		if err != nil {
			return snapshotError(n.Key(in.Writer), err)
		}
		loaded[head.Table] = tab
	}
	s.tables.restore(loaded, n.Position)
	return nil
}

// snapshotError tells a snapshot that cannot be understood from one that cannot be read.
func snapshotError(key string, err error) error {
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &shape) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &mirror.ObjectError{Key: key, Defect: mirror.Damaged, Err: fmt.Errorf("%w: %w", envelope.ErrMalformed, err)}
	}
	return err
}

// restore takes over all tables as they were at a position. Pins stay: what was changed
// behind them is published next.
func (t *tables) restore(loaded map[string]*table, at log.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, tab := range loaded {
		if old := t.visible[name]; old != nil {
			tab.pin = old.pin
		}
		t.visible[name] = tab
	}
	t.floor, t.applied = at, max(t.applied, at)
}

// reaches notes that everything up to a position is in the tables.
func (t *tables) reaches(at log.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.floor = max(t.floor, at)
}
