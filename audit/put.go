// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
)

// create makes the batch the next object, or takes in the one that came first:
//
//	Created              read back: ours
//	Exists, Unknown      read the number: ours, another's, or (Unknown) absent
//	Retry, or absent     the same bytes again, after a pause
//
// Ours means these very bytes: the attempt id in every row makes them unlike any
// other's. When err is nil, s and the memory know what the number holds.
func (l *Log) create(ctx context.Context, b *batch, s *search) error {
	key := objectKey(l.chain, b.number)
	sent := ErrBusy // what is to be said on giving up
	pause := firstPause
	for try := 1; ; try++ {
		res, cause := l.bucket.PutIfAbsent(ctx, key, b.body, b.attempt)
		switch res.Outcome {
		case objstore.Created, objstore.Exists:
			return l.settle(ctx, key, res.Outcome, b, s, sent)
		case objstore.Retry:
			if errors.Is(cause, objstore.ErrTooLarge) || errors.Is(cause, objstore.ErrInvalidKey) {
				return cause
			}
		default: // Unknown, and whatever a driver should not say
			sent = ErrUnknown
			err := l.settle(ctx, key, objstore.Unknown, b, s, sent)
			if !errors.Is(err, objstore.ErrNotFound) {
				return err
			}
		}
		if try == tries {
			return fmt.Errorf("%w after %d tries: %w", sent, try, cause)
		}
		if err := l.opts.Wait(ctx, pause); err != nil {
			return fmt.Errorf("%w: %w: %w", sent, err, cause)
		}
		pause = min(2*pause, maxPause)
	}
}

// settle reads the number and goes on over what it holds.
func (l *Log) settle(ctx context.Context, key string, out objstore.Outcome, b *batch, s *search, sent error) error {
	if out == objstore.Created {
		sent = ErrUnknown
	}
	o, err := l.bucket.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("%w: put answered %s, then: %w", sent, out, err)
	}
	mine := bytes.Equal(o.Body, b.body)
	if out == objstore.Created && !mine {
		return fmt.Errorf("%w: %w", ErrUnknown, &Break{Number: b.number, LastNumber: b.number, RowID: b.rows[0].ID,
			LastRowID: b.rows[len(b.rows)-1].ID, Why: Damaged, Detail: "the object store does not hold what it said it created"})
	}
	if err := l.seen.take(b.number, o.Body, s); err != nil {
		return err
	}
	for _, r := range b.rows {
		if f := s.found[r.Operation]; mine {
			f.mine = true
			s.found[r.Operation] = f
		}
	}
	return nil
}
