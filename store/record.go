// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// record is a transaction as it stands in the log: its writes and, for the sake of
// a client that asks again, its id with the digest of everything that was sent.
type record struct {
	ID     string      `json:"id,omitempty"`
	Digest []byte      `json:"digest,omitempty"`
	Writes []Statement `json:"writes"`
}

func newRecord(t *Transaction, digest [sha256.Size]byte) *record {
	r := &record{ID: t.ID}
	if t.ID != "" {
		r.Digest = digest[:]
	}
	for i := range t.Statements {
		if s := &t.Statements[i]; s.Op.writes() {
			r.Writes = append(r.Writes, s.write())
		}
	}
	return r
}

// write is what the log has of a statement.
func (s *Statement) write() Statement {
	return Statement{Op: s.Op, Table: s.Table, Key: s.Key, Row: s.Row}
}

func (r *record) encode() ([]byte, error) { return json.Marshal(r) }

// decodeRecord refuses what this salvor does not understand: to pass over a field
// would be to lose a part of a transaction.
func decodeRecord(raw []byte) (*record, error) {
	var r record
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("the record cannot be read: %w", err)
	}
	for _, s := range r.Writes {
		if s.Op != OpPut && s.Op != OpDelete {
			return nil, fmt.Errorf("the record has op %q, which is not known to this salvor: upgrade salvor", s.Op)
		}
	}
	return &r, nil
}
