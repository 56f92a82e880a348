// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"io"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/log"
)

// Reader reads what a plan names.
type Reader struct {
	Bucket        objstore.Bucket
	Store, Writer string
}

// Snapshot returns what the embedder wrote at the snapshot's position. Each part is held
// to its digest before anything of it is read. Errors, also those of reading, are
// *ObjectError or the bucket's.
func (r Reader) Snapshot(ctx context.Context, n SnapshotName) (io.ReadCloser, error) {
	s, err := readSnapshot(ctx, r.Bucket, r.Store, r.Writer, n)
	if err != nil {
		return nil, err
	}
	out, in := io.Pipe()
	go func() {
		in.CloseWithError(getParts(ctx, r.Bucket, n.Key(r.Writer), s.Parts, func(p []byte) error {
			_, err := in.Write(p)
			return err
		}))
	}()
	return out, nil
}

// Ranges hands to each, event by event, every transaction of the ranges behind a
// position, in order. Each range is held to its digest, and to being the one that the
// next one follows. Errors are *ObjectError, each's, or the bucket's.
func (r Reader) Ranges(ctx context.Context, ranges []Name, after log.Position, each func(log.Position, []byte) error) error {
	var before *Link
	for _, n := range ranges {
		o, digest, err := readRange(ctx, r.Bucket, r.Store, r.Writer, n)
		if err != nil {
			return err
		}
		if before != nil && (o.After == nil || *o.After != *before) {
			return foreign(n.Key(r.Writer), "it does not follow the range before it, %s with %s", before.name().Key(r.Writer), before.Digest)
		}
		before = &Link{Epoch: n.Epoch, First: n.First, Last: n.Last, Digest: digest}
		for i, events := range o.Transactions {
			p := n.First + log.Position(i)
			if p <= after {
				continue
			}
			for _, e := range events {
				if err := each(p, e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
