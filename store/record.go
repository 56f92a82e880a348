// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
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

// encode returns what json.Marshal does, without looking at each row again: rows have the
// form that it gives them.
func (r *record) encode() ([]byte, error) {
	size := 64 + encodedKey(r.ID)
	for i := range r.Writes {
		w := &r.Writes[i]
		size += len(`{"op":"delete","table":"","key":"","row":},`) + len(w.Table) + encodedKey(w.Key) + len(w.Row)
	}
	raw := make([]byte, 0, size)
	raw = append(raw, '{')
	if r.ID != "" {
		raw = append(appendString(append(raw, `"id":`...), r.ID), ',')
	}
	if len(r.Digest) > 0 {
		raw = append(raw, `"digest":"`...)
		raw = append(base64.StdEncoding.AppendEncode(raw, r.Digest), `",`...)
	}
	raw = append(raw, `"writes":[`...)
	for i := range r.Writes {
		w := &r.Writes[i]
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = appendString(append(raw, `{"op":`...), string(w.Op))
		raw = appendString(append(raw, `,"table":`...), w.Table)
		raw = appendString(append(raw, `,"key":`...), w.Key)
		if len(w.Row) > 0 {
			raw = append(append(raw, `,"row":`...), w.Row...)
		}
		raw = append(raw, '}')
	}
	return append(raw, "]}"...), nil
}

// appendString adds a string as json.Marshal writes it.
func appendString(raw []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // of a string it never fails
			return append(raw, quoted...)
		}
	}
	return append(append(append(raw, '"'), s...), '"')
}

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
