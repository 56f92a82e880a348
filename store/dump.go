// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// DumpRow is a row of a dump.
type DumpRow struct {
	Table manifest.TableID `json:"table"`
	Key   string           `json:"key"`
	Row   json.RawMessage  `json:"row"`
}

// ErrNoSuchTable is wrapped when a dump asks for a table that the manifest does not name.
var ErrNoSuchTable = errors.New("no such table")

// Dump is one version of the manifest, whose rows can be read without any pod.
type Dump struct {
	Version manifest.Version
	Tables  []manifest.TableID

	state  *manifest.State
	bucket objstore.Bucket
}

// OpenDump reads the newest version of the manifest of the root. newID is not used
// for anything that is written: a dump writes nothing.
func OpenDump(ctx context.Context, b objstore.Bucket, newID func() string, tables ...manifest.TableID) (*Dump, error) {
	m, err := manifest.Open(ctx, b, manifest.Options{NewID: newID})
	if err != nil {
		return nil, err
	}
	d := &Dump{Version: m.View().Version, state: m.View(), bucket: b, Tables: tables}
	if len(tables) == 0 {
		d.Tables = slices.Sorted(maps.Keys(d.state.Tables))
	}
	for _, t := range d.Tables {
		if _, ok := d.state.Tables[t]; !ok {
			return nil, fmt.Errorf("%w: manifest %d names no table %q", ErrNoSuchTable, uint64(d.Version), t)
		}
	}
	return d, nil
}

// Rows yields every row, tables and keys in order. A failure is yielded last; what
// came before it is not the whole.
func (d *Dump) Rows(ctx context.Context) iter.Seq2[DumpRow, error] {
	return func(yield func(DumpRow, error) bool) {
		for _, t := range d.Tables {
			v, err := readVersion(ctx, d.bucket, d.state.Store, t, d.state.Tables[t])
			if err != nil {
				yield(DumpRow{}, fmt.Errorf("table %s: %w", t, err))
				return
			}
			for _, r := range v.Rows {
				if !yield(DumpRow{Table: t, Key: r.Key, Row: r.Row}, nil) {
					return
				}
			}
		}
	}
}
