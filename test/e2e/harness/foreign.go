// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
)

// ForeignTables are those of [ForeignCommit]: their readers follow their head.
var ForeignTables = []manifest.TableID{"x", "y"}

// ForeignCommit is one operation of the writer lake, which has no pod, on two tables
// whose readers follow their head; breaks makes it die on the way.
func ForeignCommit(ctx context.Context, b objstore.Bucket, content string, breaks func(*fault.Bucket)) (manifest.OperationID, error) {
	door := fault.Wrap(b)
	newID := func() string { return ulid.Make().String() }
	m, err := manifest.Open(ctx, door, manifest.Options{NewID: newID})
	if err != nil {
		return "", err
	}
	w := recovery.NewWriter(m, recovery.WriterOptions{ID: "lake", Process: manifest.ProcessID(newID()), NewID: newID, Await: time.Second})
	if err := w.Register(ctx); err != nil {
		return "", err
	}
	if breaks != nil {
		breaks(door)
	}
	op := recovery.Operation{Kind: recovery.KindForeign}
	log := commitlog.New(door, objstore.Patience{Bound: time.Second})
	for _, t := range ForeignTables {
		op.Changes = append(op.Changes, recovery.Change{Table: t, Write: log.Write(content)})
	}
	r, err := w.Commit(ctx, op)
	return r.Operation, err
}

// HalfDone makes a [ForeignCommit] die when one of its two tables is written.
func HalfDone(b *fault.Bucket) { b.On(fault.PutIfAbsent, commitlog.Prefix).Nth(2).Crash(fault.Before) }
