// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"fmt"
)

// batch is an object ready to be created, or created again with the same bytes.
type batch struct {
	number  uint64
	attempt string
	body    []byte
	rows    []Row
}

// seal makes the next object of as many rows as fit. It returns nil if it
// refused them all.
func (l *Log) seal(rows []Row, s *search) (*batch, error) {
	keyID, err := l.keys.Current()
	if err != nil {
		return nil, err
	}
	next := l.seen.check
	b := &batch{number: next.number, attempt: l.opts.NewAttempt()}
	id, previous, store := next.next, l.seen.head.Hash, next.store
	now := l.opts.Now().UTC().Round(0)
	var raws []json.RawMessage
	for size := 0; len(rows) > 0; rows = rows[1:] {
		r := rows[0]
		if store != "" && r.StoreUID != store {
			s.found[r.Operation] = finding{err: &Break{Number: b.number, LastNumber: b.number, RowID: id, LastRowID: id,
				Why: Foreign, Detail: fmt.Sprintf("the chain belongs to store %s, operation %s to store %s: nothing was written", store, r.Operation, r.StoreUID)}}
			continue
		}
		r.Format, r.Chain, r.Batch, r.ID = RowFormat, l.chain, b.number, id
		r.Time, r.Recoverer, r.Attempt = now, l.opts.Recoverer, b.attempt
		r.Previous, r.KeyID = previous, keyID
		r.Reason = fitReason(r.Reason)
		sum := next.hash(&r)
		r.Hash = formatHash(sum)
		r.MAC, _ = next.macs.sum(keyID, sum)
		raw, err := json.Marshal(&r)
		if err == nil && len(raw) > MaxRow {
			err = fmt.Errorf("%d bytes, at most %d fit in an object", len(raw), MaxRow)
		}
		if err != nil {
			s.found[r.Operation] = finding{err: fmt.Errorf("%w: operation %q: %w", ErrInvalidRow, r.Operation, err)}
			continue
		}
		if size += len(raw); size > MaxBatch && len(raws) > 0 {
			break // the rest goes into the object after
		}
		raws, b.rows = append(raws, raw), append(b.rows, r)
		id, previous, store = id+1, r.Hash, r.StoreUID
	}
	if len(raws) == 0 {
		return nil, nil
	}
	b.body, err = encodeObject(raws)
	return b, err
}
