// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/salvor-io/salvor/objstore"
)

// Find returns the row that records how an operation ended, searching the
// objects after since. It reads up to the newest object; false means that there
// is no such row there.
func (l *Log) Find(ctx context.Context, operation string, since Head) (Row, bool, error) {
	s := &search{wanted: map[string]bool{operation: true}, found: map[string]finding{}}
	if err := l.lock(ctx); err != nil {
		return Row{}, false, err
	}
	defer l.unlock()
	err := l.search(ctx, since, s)
	if err == nil {
		err = l.catchUp(ctx, l.seen, s)
	}
	if err != nil {
		return Row{}, false, fmt.Errorf("search audit chain %s: %w", l.chain, err)
	}
	f, ok := s.found[operation]
	return f.row, ok && f.err == nil, f.err
}

// Rows yields the rows from object number from on (0: from the start), as they
// stand, unverified. An object that cannot be read whole is yielded as a *Break
// after the rows that can, and passed over; any other error is yielded last.
func (l *Log) Rows(ctx context.Context, from uint64) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for o, err := range objects(ctx, l.bucket, l.chain, max(from, 1)) {
			if err != nil {
				yield(Row{}, fmt.Errorf("read audit chain %s: %w", l.chain, err))
				return
			}
			rows, at, err := parseObject(o.body)
			for i, r := range rows {
				if r.err != nil {
					at, err = i, r.err
					continue
				}
				if !yield(r.Row, nil) {
					return
				}
			}
			if err != nil && !yield(Row{}, &Break{Number: o.number, LastNumber: o.number, Why: Damaged,
				Detail: fmt.Sprintf("row %d of the object: %v", at+1, err)}) {
				return
			}
		}
	}
}

// object is one numbered object of a chain as it is stored.
type object struct {
	number uint64
	body   []byte
}

// objects yields the objects of a chain from a number on, in order; missing
// numbers are left out. A listing says what lies behind a gap; gets say what it
// left out, at the gaps and at the end. Failures are yielded last.
func objects(ctx context.Context, bucket objstore.Bucket, chain string, from uint64) iter.Seq2[object, error] {
	return func(yield func(object, error) bool) {
		next := from
		// one reads the object called next and yields it if it is there.
		one := func() (there, more bool) {
			o, err := bucket.Get(ctx, objectKey(chain, next))
			if errors.Is(err, objstore.ErrNotFound) {
				return false, true
			}
			if errors.Is(err, objstore.ErrTooLarge) {
				err = nil // no rows can be had from it: Damaged
			}
			return true, yield(object{next, o.Body}, err) && err == nil
		}
		after := ""
		if from > 1 {
			after = objectKey(chain, from-1)
		}
		for e, err := range bucket.List(ctx, objectPrefix(chain), after) {
			if err != nil {
				yield(object{}, err)
				return
			}
			n, ok := objectNumber(chain, e.Key)
			if !ok || n < next {
				continue
			}
			for p := 0; next < n; next++ {
				if p++; p > probes {
					next = n
					break
				}
				if _, more := one(); !more {
					return
				}
			}
			if _, more := one(); !more {
				return
			}
			next++
		}
		for ; ; next++ {
			if there, more := one(); !there || !more {
				return
			}
		}
	}
}
