// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// pen writes the versions of a checkpoint. Commits go on beside it, so it takes little
// of the processor at a time, and rests. Its memory is one part.
type pen struct {
	bucket   objstore.Bucket
	patience objstore.Patience
	breather breather
}

// stride is how many bytes are worked on between two breaths.
const stride = 64 << 10

// writePart makes a part durable and returns its digest.
func (c *pen) writePart(ctx context.Context, key string, p part) (string, error) {
	c.breather.begin()
	raw, err := encodePart(ctx, &c.breather, p)
	if err != nil {
		return "", err
	}
	return put(ctx, c.bucket, c.patience, key, p.Operation, raw)
}

// encodePart returns the bytes that envelope.Encode returns, without looking at each row
// again: rows have the form that json.Marshal gives them.
func encodePart(ctx context.Context, rest *breather, p part) ([]byte, error) {
	rows := p.Rows
	p.Rows = []Row{}
	frame, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	size := len(frame)
	for i := range rows {
		size += encodedKey(rows[i].Key) + len(rows[i].Row) + len(`{"key":"","row":},`)
	}
	head := len(envelope.Line(partKind, PartFormat, envelope.Digest(nil)))
	raw := make([]byte, head, head+size+8)
	raw = append(raw, frame[:len(frame)-len("]}")]...)
	breath := len(raw) + stride
	for i, r := range rows {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(appendString(append(raw, `{"key":`...), r.Key), `,"row":`...)
		raw = append(append(raw, r.Row...), '}')
		if len(raw) >= breath {
			breath = len(raw) + stride
			if err := rest.breathe(ctx); err != nil {
				return nil, err
			}
		}
	}
	raw = append(raw, "]}\n"...)
	sum, err := digest(ctx, rest, raw[head:])
	if err != nil {
		return nil, err
	}
	copy(raw, envelope.Line(partKind, PartFormat, sum))
	return raw, nil
}

// digest is envelope.Digest, with a breath behind each stride.
func digest(ctx context.Context, rest *breather, b []byte) (string, error) {
	h := sha256.New()
	for len(b) > 0 {
		n := min(len(b), stride)
		_, _ = h.Write(b[:n]) // it never fails
		b = b[n:]
		if err := rest.breathe(ctx); err != nil {
			return "", err
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// checkVersion reads a version back: every object of it is there, with the bytes that
// its digest says. It keeps none of them.
func checkVersion(ctx context.Context, rest *breather, b objstore.Bucket, store string, table manifest.TableID, pin manifest.Pin) error {
	v, err := readMain(ctx, b, store, table, pin)
	if err != nil {
		return err
	}
	key := manifest.TableKey(table, pin.Number, pin.Operation)
	for i, ref := range v.Parts {
		name := PartKey(key, i+1)
		o, err := read(ctx, b, name)
		if err != nil {
			return err
		}
		h, off, err := envelope.ParseHeader(o.Body)
		if err != nil {
			return damaged(name, err)
		}
		rest.begin()
		got, err := digest(ctx, rest, o.Body[off:])
		if err != nil {
			return err
		}
		if h.Digest != ref.Digest || got != ref.Digest {
			return damaged(name, &envelope.DigestError{Kind: partKind, Want: ref.Digest, Got: got})
		}
	}
	return nil
}
