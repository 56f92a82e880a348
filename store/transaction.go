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

	// These are about the transaction itself: see savepoints.go.
	OpSavepoint  Op = "savepoint"
	OpRollbackTo Op = "rollback_to"
	OpRelease    Op = "release"
)

// Statement is one step of a transaction.
type Statement struct {
	Op    Op     `json:"op"`
	Table string `json:"table"`
	Key   string `json:"key"`
	// Row is a JSON object; only for put.
	Row json.RawMessage `json:"row,omitempty"`
	// If is what has to hold of the row before the statement is done; nil: nothing. When
	// it does not hold the transaction is refused; or, with Else, rolled back to the
	// savepoint of that name, and goes on where that is released.
	If   *Condition `json:"if,omitempty"`
	Else string     `json:"else,omitempty"`
	// Name is that of a savepoint; only for savepoint, rollback_to and release.
	Name string `json:"name,omitempty"`
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
	// Results has one entry per statement; gets say something in theirs, and statements
	// that were not done.
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
	// ETag is that of the row: the same bytes have the same one.
	ETag string `json:"etag,omitempty"`
	// Modified is the position of the row's last write, or one behind it: when the row was
	// loaded from the root, that of the checkpoint that has it.
	Modified log.Position `json:"modified,omitempty"`
	// Failed: the precondition did not hold, and the transaction was rolled back to the
	// savepoint that the statement names. Skipped: for that reason it was passed over.
	Failed  *FailedPrecondition `json:"failed,omitempty"`
	Skipped bool                `json:"skipped,omitempty"`
}

// writes reports whether the transaction changes anything.
func (t *Transaction) writes() bool {
	for _, s := range t.Statements {
		if s.Op.writes() {
			return true
		}
	}
	return false
}

// writes reports whether a statement changes rows.
func (o Op) writes() bool { return o == OpPut || o == OpDelete }

// savepoint reports whether a statement is about a savepoint.
func (o Op) savepoint() bool { return o == OpSavepoint || o == OpRollbackTo || o == OpRelease }

// bytes is about what the transaction takes in memory.
func (t *Transaction) bytes() int64 {
	n := len(t.ID)
	for i := range t.Statements {
		s := &t.Statements[i]
		n += 64 + len(s.Table) + len(s.Key) + len(s.Row) + len(s.Name)
	}
	return int64(n)
}

// digest tells two transactions under one id apart; without an id it is zero.
func (t *Transaction) digest() ([sha256.Size]byte, error) {
	if t.ID == "" {
		return [sha256.Size]byte{}, nil
	}
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
	if s.Op.savepoint() {
		return s.normaliseSavepoint()
	}
	if s.Name != "" {
		return invalid("a %s has no name", clip(string(s.Op)))
	}
	if s.Else != "" && s.If == nil {
		return invalid("else: there is no condition that could fail")
	}
	if s.If != nil {
		if err := s.If.normalise(); err != nil {
			return err
		}
	}
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
		return invalid("op %q: want put, delete, get, savepoint, rollback_to or release", clip(string(s.Op)))
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
