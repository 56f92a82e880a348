// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstore

import (
	"context"
	"iter"
	"strings"
)

// Prefix returns the part of b below prefix, as "tenants/a/", as a bucket of its
// own: its keys are those of b without the prefix. "" and "/" are all of b. A prefix
// that is no clean path makes every call fail with ErrInvalidKey.
// Closing it closes b.
func Prefix(b Bucket, prefix string) Bucket {
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return b
	}
	return &prefixed{b: b, prefix: prefix + "/"}
}

type prefixed struct {
	b      Bucket
	prefix string // ends in a slash
}

// key returns the key in b. The key is checked alone: joined, it could begin with
// a slash or be empty.
func (p *prefixed) key(key string) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	return p.prefix + key, CheckKey(p.prefix + key)
}

// Get implements Bucket.
func (p *prefixed) Get(ctx context.Context, key string) (Object, error) {
	full, err := p.key(key)
	if err != nil {
		return Object{}, err
	}
	o, err := p.b.Get(ctx, full)
	if err != nil {
		return Object{}, err
	}
	o.Key = key
	return o, nil
}

// GetRange implements Bucket.
func (p *prefixed) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	full, err := p.key(key)
	if err != nil {
		return nil, err
	}
	return p.b.GetRange(ctx, full, off, n)
}

// List implements Bucket.
func (p *prefixed) List(ctx context.Context, prefix, after string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := CheckKey(strings.TrimSuffix(p.prefix, "/")); err != nil {
			yield(Entry{}, err)
			return
		}
		if after != "" {
			after = p.prefix + after
		}
		for e, err := range p.b.List(ctx, p.prefix+prefix, after) {
			e.Key = strings.TrimPrefix(e.Key, p.prefix)
			if !yield(e, err) {
				return
			}
		}
	}
}

// PutIfAbsent implements Bucket.
func (p *prefixed) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (PutResult, error) {
	full, err := p.key(key)
	if err != nil {
		return PutResult{Outcome: Retry}, err
	}
	return p.b.PutIfAbsent(ctx, full, body, attempt)
}

// Delete implements Bucket.
func (p *prefixed) Delete(ctx context.Context, key string) error {
	full, err := p.key(key)
	if err != nil {
		return err
	}
	return p.b.Delete(ctx, full)
}

// Close implements Bucket.
func (p *prefixed) Close() error { return p.b.Close() }
