// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/salvor-io/salvor/store/log"
)

// Op is what a statement does. The words are in the log: never rename one.
type Op string

// The statements.
const (
	OpPut    Op = "put"
	OpDelete Op = "delete"
	OpGet    Op = "get"
)

// Statement is one step of a transaction.
type Statement struct {
	Op    Op     `json:"op"`
	Table string `json:"table"`
	Key   string `json:"key"`
	// Row is a JSON object; only for put.
	Row json.RawMessage `json:"row,omitempty"`
}

// Transaction is a list of statements that happen all at once or not at all.
type Transaction struct {
	// ID is the client's name for it: sent again under the same id, it is done once.
	// Optional; without it a lost answer cannot be resolved.
	ID         string      `json:"id,omitempty"`
	Statements []Statement `json:"statements"`
}

// Result is the answer to a transaction: it is durable, or as Sync says.
type Result struct {
	ID     string `json:"id,omitempty"`
	Writer string `json:"writer"`
	// Position in this writer's log. For a transaction that only reads, the
	// position that it saw.
	Position log.Position `json:"position"`
	// Results has one entry per statement; only gets say something in theirs.
	Results []Read `json:"results,omitempty"`
	// Repeated: the transaction was done before, under this id. What its gets read
	// then is not remembered.
	Repeated bool `json:"repeated,omitempty"`
	// Sync is the mode of the log in which a transaction that writes was answered; absent:
	// it is durable. Otherwise a power cut may take it, see GET /v1/log.
	Sync log.SyncMode `json:"sync,omitzero"`
}

// Read is what a get found.
type Read struct {
	Found bool            `json:"found,omitempty"`
	Row   json.RawMessage `json:"row,omitempty"`
}

// writes reports whether the transaction changes anything.
func (t *Transaction) writes() bool {
	for _, s := range t.Statements {
		if s.Op != OpGet {
			return true
		}
	}
	return false
}

// digest tells two transactions under one id apart.
func (t *Transaction) digest() ([sha256.Size]byte, error) {
	raw, err := json.Marshal(t.Statements)
	return sha256.Sum256(raw), err
}

// normalise checks the transaction and gives every row its one form.
func (t *Transaction) normalise(n names) error {
	if len(t.ID) > maxKey || !utf8.ValidString(t.ID) {
		return invalid("id %q: want at most %d bytes of UTF-8", clip(t.ID), maxKey)
	}
	if len(t.Statements) == 0 || len(t.Statements) > maxStatements {
		return invalid("a transaction has 1 to %d statements, this one has %d", maxStatements, len(t.Statements))
	}
	for i := range t.Statements {
		if err := t.Statements[i].normalise(n); err != nil {
			return fmt.Errorf("statement %d: %w", i, err)
		}
	}
	return nil
}

func (s *Statement) normalise(n names) error {
	if err := n.check(s.Table); err != nil {
		return err
	}
	if err := checkKey(s.Key); err != nil {
		return err
	}
	switch s.Op {
	case OpGet, OpDelete:
		if len(s.Row) != 0 {
			return invalid("a %s has no row", s.Op)
		}
		return nil
	case OpPut:
		row, err := normalRow(s.Row)
		s.Row = row
		return err
	default:
		return invalid("op %q: want put, delete or get", s.Op)
	}
}

// normalRow returns the one form of a row: as json.Marshal writes it, so that the
// bytes are the same in memory, log, objects and answers.
func normalRow(raw json.RawMessage) (json.RawMessage, error) {
	switch row, err := json.Marshal(raw); {
	case err != nil, !utf8.Valid(raw):
		return nil, invalid("the row is no JSON in UTF-8")
	case len(row) == 0 || row[0] != '{':
		return nil, invalid("the row is %s: want a JSON object", clip(string(row)))
	case len(row) > maxRow:
		return nil, invalid("the row has %d bytes, at most %d are taken", len(row), maxRow)
	default:
		return row, nil
	}
}
