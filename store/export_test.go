// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/store/log"
)

// EncodePart returns a part as a checkpoint writes it, and as envelope.Encode does.
func EncodePart(rows []Row) (got, want []byte, err error) {
	p := part{Store: "S", Table: "w.t", Number: 7, Operation: "OP", Part: 3, Rows: rows}
	if want, err = envelope.Encode(partKind, PartFormat, p); err != nil {
		return nil, nil, err
	}
	rest := &breather{now: time.Now, sleep: func(context.Context, time.Duration) error { return nil }}
	rest.begin()
	got, err = encodePart(context.Background(), rest, p)
	return got, want, err
}

// WithoutLog does a transaction as Transact does, but for the log: it is in memory, and
// nowhere else.
func (s *Store) WithoutLog(t Transaction) error {
	n := t.bytes()
	if err := s.intake.take(n); err != nil {
		return err
	}
	defer s.intake.give(n)
	if err := t.normalise(s.names); err != nil {
		return err
	}
	if _, err := t.planned(); err != nil {
		return err
	}
	leave, err := s.gate.enter(context.Background(), t.writes(), n, nil)
	if err != nil {
		return err
	}
	defer leave()
	digest, err := t.digest()
	if err != nil {
		return err
	}
	rec := newRecord(&t, digest)
	s.order.Lock()
	defer s.order.Unlock()
	var p log.Position
	s.tables.mu.RLock()
	p = s.tables.applied + 1
	s.tables.mu.RUnlock()
	s.tables.expect(p, rec.Writes)
	s.tables.apply(p, rec.Writes)
	return nil
}

// EncodeRecord returns what the log has of a transaction, and what json.Marshal makes of it.
func EncodeRecord(t Transaction) (got, want []byte, err error) {
	digest, err := t.digest()
	if err != nil {
		return nil, nil, err
	}
	r := newRecord(&t, digest)
	if want, err = json.Marshal(r); err != nil {
		return nil, nil, err
	}
	got, err = r.encode()
	return got, want, err
}
