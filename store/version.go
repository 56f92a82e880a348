// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/google/btree"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
)

// writeVersion makes a table version durable, parts first, and returns the digest
// in the main object's header line.
func (c *pen) writeVersion(ctx context.Context, partSize int, v version, key string, rows *btree.BTreeG[Row]) (string, error) {
	v.Count = rows.Len()
	for chunk, last := range chunks(rows, partSize) {
		if last && len(v.Parts) == 0 {
			v.Rows = chunk
			break
		}
		n := len(v.Parts) + 1
		digest, err := c.writePart(ctx, PartKey(key, n), part{Store: v.Store, Table: v.Table, Number: v.Number, Operation: v.Operation, Part: n, Rows: chunk})
		if err != nil {
			return "", err
		}
		v.Parts = append(v.Parts, partRef{Part: n, Count: len(chunk), Digest: digest})
	}
	raw, err := envelope.Encode(tableKind, TableFormat, v)
	if err != nil {
		return "", err
	}
	return put(ctx, c.bucket, c.patience, key, v.Operation, raw)
}

// chunks cuts the rows into runs of about size bytes, at least one run, and says which
// is the last. A run is good until the next.
func chunks(rows *btree.BTreeG[Row], size int) iter.Seq2[[]Row, bool] {
	return func(yield func([]Row, bool) bool) {
		var run []Row
		n, more := 0, true
		rows.Ascend(func(r Row) bool {
			bytes := encodedKey(r.Key) + len(r.Row) + len(`{"key":"","row":},`)
			if len(run) > 0 && n+bytes > size {
				if more = yield(run, false); !more {
					return false
				}
				run, n = run[:0], 0
			}
			run, n = append(run, r), n+bytes
			return true
		})
		if more {
			yield(run, true)
		}
	}
}

// encodedKey bounds the length of a key in JSON: some characters take six bytes.
func encodedKey(key string) int {
	if strings.ContainsAny(key, "\"\\<>&\u2028\u2029") {
		return 6 * len(key)
	}
	return len(key)
}

// put creates one object whose name carries the operation: Exists is always the
// own one.
func put(ctx context.Context, b objstore.Bucket, p objstore.Patience, key string, op manifest.OperationID, raw []byte) (string, error) {
	own, _, err := objstore.Settle(ctx, b, key, raw, string(op), p)
	if err != nil {
		return "", err
	}
	if !own {
		return "", fmt.Errorf("object %s is there with other bytes: its operation was not ours alone", key)
	}
	h, _, err := envelope.ParseHeader(raw)
	return h.Digest, err
}

// readVersion reads the version of a table that a manifest names, and checks all
// of it. The version returned has all rows, those of its parts included. Errors are
// *manifest.ObjectError, or the bucket's.
func readVersion(ctx context.Context, b objstore.Bucket, store string, table manifest.TableID, pin manifest.Pin) (*version, error) {
	v, err := readMain(ctx, b, store, table, pin)
	if err != nil {
		return nil, err
	}
	key := manifest.TableKey(table, pin.Number, pin.Operation)
	for i, ref := range v.Parts {
		var p part
		name := PartKey(key, i+1)
		if err := get(ctx, b, name, partKind, PartFormat, ref.Digest, &p); err != nil {
			return nil, err
		}
		if err := p.check(v, i+1); err != nil {
			return nil, damaged(name, err)
		}
		v.Rows = append(v.Rows, p.Rows...)
	}
	if len(v.Rows) != v.Count {
		return nil, damaged(key, fmt.Errorf("%w: it has %d rows and says %d", envelope.ErrMalformed, len(v.Rows), v.Count))
	}
	return v, nil
}

// readMain reads the main object of a version, and checks it.
func readMain(ctx context.Context, b objstore.Bucket, store string, table manifest.TableID, pin manifest.Pin) (*version, error) {
	key := manifest.TableKey(table, pin.Number, pin.Operation)
	var v version
	if err := get(ctx, b, key, tableKind, TableFormat, pin.Digest, &v); err != nil {
		return nil, err
	}
	if err := v.check(store, table, pin); err != nil {
		return nil, damaged(key, err)
	}
	return &v, nil
}

// get reads an object whose digest is known from elsewhere.
func get(ctx context.Context, b objstore.Bucket, key, kind string, format int, digest string, into any) error {
	o, err := read(ctx, b, key)
	if err != nil {
		return err
	}
	if h, _, err := envelope.ParseHeader(o.Body); err == nil && h.Digest != digest {
		return damaged(key, &envelope.DigestError{Kind: kind, Want: digest, Got: h.Digest})
	}
	if _, err := envelope.Decode(kind, format, o.Body, into); err != nil {
		return damaged(key, err)
	}
	return nil
}

// read returns an object of a version.
func read(ctx context.Context, b objstore.Bucket, key string) (objstore.Object, error) {
	o, err := b.Get(ctx, key)
	if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrTooLarge) {
		return o, damaged(key, err)
	}
	if err != nil {
		return o, fmt.Errorf("read table version: %w", err)
	}
	return o, nil
}

func damaged(key string, err error) error {
	e := &manifest.ObjectError{Key: key, Err: err}
	var newer *envelope.FormatError
	if !errors.As(err, &newer) {
		e.Hint = "restore this object from a copy or an older bucket version; nothing was changed"
	}
	return e
}

// change is one table's part of a checkpoint.
func (s *Store) change(r *root, snap snapshot, name string) recovery.Change {
	return recovery.Change{
		Table: s.names.id(name), Position: manifest.Position(snap.position),
		Write: func(ctx context.Context, t recovery.TableVersion) (string, error) {
			if err := s.replaces(ctx, r, t.Table, t.Parent); err != nil {
				return "", err
			}
			c := &pen{bucket: r.manifest.Bucket(), patience: s.patience(), breather: breather{now: s.opt.Now, sleep: s.opt.Sleep}}
			return c.writeVersion(ctx, s.opt.PartSize, version{
				Store: r.manifest.Identity().UID, Table: t.Table, Number: t.Number, Operation: t.Operation,
				Epoch: t.Epoch, Parent: t.Parent, Position: manifest.Position(snap.position),
			}, t.Object, snap.tables[name])
		},
	}
}

func (s *Store) patience() objstore.Patience {
	return objstore.Patience{Bound: s.opt.Await, Now: s.opt.Now, Sleep: s.opt.Sleep}
}
