// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/salvor-io/salvor/objstore"
)

// Bucket returns the world's bucket as a client sees it.
func (w *World) Bucket(client string) objstore.Bucket { return &bucket{w: w, client: client} }

type bucket struct {
	w      *World
	client string
}

func (b *bucket) lost(what string) error { return fmt.Errorf("%s: %w", what, ErrLost) }

// Get implements objstore.Bucket.
func (b *bucket) Get(ctx context.Context, key string) (objstore.Object, error) {
	var o objstore.Object
	var err error
	what := "get " + key
	v := b.w.park(&stop{client: b.client, what: what, do: func() { o, err = b.w.Disk.Get(context.WithoutCancel(ctx), key) }})
	if v.lost {
		return objstore.Object{}, b.lost(what)
	}
	return o, err
}

// GetRange implements objstore.Bucket.
func (b *bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	var body []byte
	var err error
	what := "get range " + key
	v := b.w.park(&stop{client: b.client, what: what, do: func() { body, err = b.w.Disk.GetRange(context.WithoutCancel(ctx), key, off, n) }})
	if v.lost {
		return nil, b.lost(what)
	}
	return body, err
}

// List implements objstore.Bucket. One request reads all that its caller takes.
func (b *bucket) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Entry, error] {
	return func(yield func(objstore.Entry, error) bool) {
		var page []objstore.Entry
		var failed error
		what := "list " + prefix
		v := b.w.park(&stop{client: b.client, what: what, do: func() {
			for e, err := range b.w.Disk.List(context.WithoutCancel(ctx), prefix, after) {
				if failed = err; err != nil {
					return
				}
				page = append(page, e)
			}
		}})
		if v.lost {
			failed, page = b.lost(what), nil
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
	what, kept := "put "+key, slices.Clone(body)
	v := b.w.park(&stop{client: b.client, what: what, put: true, write: true, do: func() {
		if r, err = b.w.Disk.PutIfAbsent(context.WithoutCancel(ctx), key, kept, attempt); r.Outcome == objstore.Created {
			b.w.created(key, kept)
		}
	}})
	if v.lost {
		return objstore.PutResult{Outcome: objstore.Unknown}, b.lost(what)
	}
	return r, err
}

// Delete implements objstore.Bucket.
func (b *bucket) Delete(ctx context.Context, key string) error {
	var err error
	what := "delete " + key
	v := b.w.park(&stop{client: b.client, what: what, write: true, do: func() { err = b.w.Disk.Delete(context.WithoutCancel(ctx), key) }})
	if v.lost {
		return b.lost(what)
	}
	return err
}

// Close implements objstore.Bucket.
func (b *bucket) Close() error { return nil }
