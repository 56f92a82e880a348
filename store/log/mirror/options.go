// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/log"
)

// Log is what is mirrored: a *log.Log that has recovered.
type Log interface {
	From(p log.Position) *log.Cursor
	Status() log.Status
}

// Options say what is mirrored, and how. Bucket, Log, Store, Writer, Process and Epoch are
// required; every other zero value is good.
type Options struct {
	Bucket objstore.Bucket
	Log    Log
	// Store is the uid of the root's store, Writer the writer's stable name. Process and
	// Epoch are this reign of it: no two processes ever have the same epoch.
	Store, Writer, Process string
	Epoch                  uint64

	// Interval is how long something durable waits at most before it is sent. Default 5 s.
	Interval time.Duration
	// RangeSize is how much of the log makes a range, in bytes, before the Interval is over.
	// Default 4 MiB.
	RangeSize int
	// SnapshotAfter is how many bytes of ranges are kept before a snapshot takes their
	// place, beyond the size of the last one. Default 64 MiB.
	SnapshotAfter int64
	// CollectAfter is how many bytes that nobody needs are kept. Default 16 MiB, and no more
	// than 64 objects.
	CollectAfter int64
	// PartSize is how large an object gets. Default 6 MiB.
	PartSize int

	// Snapshot returns the embedder's whole state at a durable position. nil: no snapshots
	// are made, and the mirror is as large as what Covered does not cover.
	Snapshot func() Snapshot
	// Covered is the newest position that the embedder's own checkpoints in the root cover.
	// It only grows. nil: it has none.
	Covered func() log.Position
	// Proven is Covered, once the checkpoints were read and found good: what they cover is
	// removed. Default Covered.
	Proven func(context.Context) (log.Position, error)
	// Reigns returns nil while the epoch is the registered one, as of now. It is asked before
	// anything is removed because of a snapshot. Default: it is.
	Reigns func(context.Context) error
	// Changed is called when the Status has changed.
	Changed func()

	// Now is the clock, After a timer, Sleep waits, or until ctx ends.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
	Sleep func(context.Context, time.Duration) error
	// Await bounds how long a lost answer is pursued before it is told. Default 15 s.
	Await time.Duration
}

func (o Options) withDefaults() Options {
	setDefault(&o.Interval, 5*time.Second)
	setDefault(&o.RangeSize, 4<<20)
	setDefault(&o.SnapshotAfter, 64<<20)
	setDefault(&o.CollectAfter, 16<<20)
	setDefault(&o.PartSize, 6<<20)
	setDefault(&o.Await, 15*time.Second)
	if o.Covered == nil {
		o.Covered = func() log.Position { return 0 }
	}
	if o.Proven == nil {
		o.Proven = func(context.Context) (log.Position, error) { return o.Covered(), nil }
	}
	if o.Reigns == nil {
		o.Reigns = func(context.Context) error { return nil }
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Sleep == nil {
		o.Sleep = objstore.Sleep
	}
	return o
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
