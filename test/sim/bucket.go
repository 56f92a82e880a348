// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
)

// bucket is the world's bucket as one process sees it.
type bucket struct{ p *Process }

// always is the context of the bucket itself: a request that has left goes on
// when its client does not.
var always = context.Background()

func word(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, objstore.ErrNotFound):
		return "absent"
	default:
		return err.Error()
	}
}

// Get implements objstore.Bucket.
func (b *bucket) Get(ctx context.Context, key string) (o objstore.Object, err error) {
	if lost := b.p.ask(ctx, fault.Get, key, nil, func(_ *request, d *mem.Bucket) string {
		o, err = d.Get(always, key)
		return word(err)
	}); lost != nil {
		return objstore.Object{}, lost
	}
	return o, err
}

// GetRange implements objstore.Bucket.
func (b *bucket) GetRange(ctx context.Context, key string, off, n int64) (body []byte, err error) {
	if lost := b.p.ask(ctx, fault.GetRange, key, nil, func(_ *request, d *mem.Bucket) string {
		body, err = d.GetRange(always, key, off, n)
		return word(err)
	}); lost != nil {
		return nil, lost
	}
	return body, err
}

// List implements objstore.Bucket. One request reads all that its caller takes.
func (b *bucket) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		var page []objstore.Entry
		var failed error
		if lost := b.p.ask(ctx, fault.List, prefix, nil, func(_ *request, d *mem.Bucket) string {
			var names []string
			for e, err := range d.List(always, prefix, after) {
				if failed = err; err != nil {
					return word(err)
				}
				page, names = append(page, e), append(names, e.Key)
			}
			return "[" + strings.Join(names, " ") + "]"
		}); lost != nil {
			failed, page = lost, nil
		}
		for _, e := range page {
			if !yield(e, nil) {
				return
			}
		}
		if failed != nil {
			yield(objstore.Entry{}, failed)
		}
	}
}

// PutIfAbsent implements objstore.Bucket.
func (b *bucket) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	// These belong to the request, which may land after its client has left.
	var r objstore.PutResult
	var err error
	if lost := b.p.ask(ctx, fault.PutIfAbsent, key, slices.Clone(body), func(q *request, d *mem.Bucket) string {
		if r, err = d.PutIfAbsent(always, key, q.body, attempt); r.Outcome == objstore.Created {
			q.by.w.created(q.by, key, q.body)
		}
		return r.Outcome.String()
	}); lost != nil {
		return objstore.PutResult{Outcome: objstore.Unknown}, lost
	}
	return r, err
}

// Delete implements objstore.Bucket.
func (b *bucket) Delete(ctx context.Context, key string) error {
	var err error
	if lost := b.p.ask(ctx, fault.Delete, key, nil, func(q *request, d *mem.Bucket) string {
		o, there := d.Get(always, key)
		if err = d.Delete(always, key); there == nil && err == nil {
			q.by.w.deleted(q.by, o)
			return "deleted"
		}
		return "absent"
	}); lost != nil {
		return lost
	}
	return err
}

// Close implements objstore.Bucket.
func (b *bucket) Close() error { return nil }

// created tells who watches.
func (w *World) created(by *Process, key string, body []byte) {
	for prefix, f := range w.watch {
		if strings.HasPrefix(key, prefix) {
			f(objstore.Object{Key: key, Body: body})
		}
	}
	if w.ledger != nil {
		if by.word != nil {
			w.ledger.written(by, key)
		}
		w.ledger.created(w.Disk, by.client(), key, body)
	}
}

func (w *World) deleted(by *Process, o objstore.Object) {
	if w.ledger != nil {
		w.ledger.deleted(w.Disk, by.client(), o)
	}
}
