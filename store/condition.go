// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/salvor-io/salvor/store/log"
)

// Condition is a precondition of a statement, in the words of HTTP. It says exactly one
// thing.
//
//	{"match":"*"}             the row is there             If-Match: *
//	{"match":"<etag>"}        and it is this one           If-Match
//	{"noneMatch":"*"}         there is no such row         If-None-Match: *
//	{"noneMatch":"<etag>"}    or it is another one         If-None-Match
//	{"row":{...}}             the row is there, and equal
//	{"unmodifiedSince":812}   the row is there, and was not written behind position 812
//
// It is looked at in the order of the log: nothing comes between it and the statement.
type Condition struct {
	Match           string          `json:"match,omitempty"`
	NoneMatch       string          `json:"noneMatch,omitempty"`
	Row             json.RawMessage `json:"row,omitempty"`
	UnmodifiedSince log.Position    `json:"unmodifiedSince,omitempty"`
}

// normalise checks the condition and gives its row the one form.
func (c *Condition) normalise() (err error) {
	said := 0
	for _, tag := range []string{c.Match, c.NoneMatch} {
		if tag == "" {
			continue
		}
		said++
		if raw, err := hex.DecodeString(tag); tag != "*" && (err != nil || len(raw) != etagSize) {
			return invalid("if: %q: want * or the etag of a row", clip(tag))
		}
	}
	if c.UnmodifiedSince != 0 {
		said++
	}
	if len(c.Row) != 0 {
		said++
		if c.Row, err = normalRow(c.Row); err != nil {
			return fmt.Errorf("if: %w", err)
		}
	}
	if said != 1 {
		return invalid("if: want one of match, noneMatch, row and unmodifiedSince, there are %d", said)
	}
	return nil
}

// holds is the decision: whether a row is as the condition wants it. It is total.
func (c *Condition) holds(f found) bool {
	switch {
	case c.Match == "*":
		return f.row != nil
	case c.Match != "":
		return f.row != nil && etag(f.row) == c.Match
	case c.NoneMatch == "*":
		return f.row == nil
	case c.NoneMatch != "":
		return f.row == nil || etag(f.row) != c.NoneMatch
	case len(c.Row) != 0:
		return f.row != nil && bytes.Equal(f.row, c.Row)
	case c.UnmodifiedSince != 0:
		return f.row != nil && f.at <= c.UnmodifiedSince
	}
	return false
}

// etagSize is how many bytes of its digest name a row.
const etagSize = 16

// etag names the content of a row.
func etag(row json.RawMessage) string {
	sum := sha256.Sum256(row)
	return hex.EncodeToString(sum[:etagSize])
}

// found is a row as a statement finds it; row is nil when there is none.
type found struct {
	row json.RawMessage
	at  log.Position // of its last write
}

// told is what a client is told of it.
func (f found) told() Read {
	if f.row == nil {
		return Read{}
	}
	return Read{Found: true, Row: f.row, ETag: etag(f.row), Modified: f.at}
}

// FailedPrecondition says which statement's condition did not hold, and what was found
// instead.
type FailedPrecondition struct {
	// Statement counts from 0.
	Statement int       `json:"statement"`
	Table     string    `json:"table"`
	Key       string    `json:"key"`
	If        Condition `json:"if"`
	Is        Read      `json:"is"`
}

// refusal is what a client is told when the whole transaction fails of it.
func (f *FailedPrecondition) refusal() *Refusal {
	is := "there is no such row"
	if f.Is.Found {
		is = fmt.Sprintf("the row has etag %s, written at position %d", f.Is.ETag, f.Is.Modified)
	}
	return &Refusal{Reason: ReasonPrecondition, Failed: f, Message: fmt.Sprintf(
		"statement %d: the precondition on row %q of table %q does not hold: %s; nothing of the transaction was done", f.Statement, clip(f.Key), f.Table, is)}
}
