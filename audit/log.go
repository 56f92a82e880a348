// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// Head names the newest object of a chain and the hash of its last row. The zero
// Head is that of an empty chain.
type Head struct {
	Number uint64 `json:"number"`
	Hash   string `json:"hash"`
}

// Options are what a Log takes from outside.
type Options struct {
	// Recoverer is the id of this process; it goes into every row.
	Recoverer string
	// Now is the clock that dates rows. Default: time.Now.
	Now func() time.Time
	// NewAttempt returns an id that was never returned before, by any process.
	// Default: crypto/rand.Text.
	NewAttempt func() string
	// Wait pauses between two tries, or returns the context's error. Default: a timer.
	Wait func(ctx context.Context, d time.Duration) error
	// Start is a head known from elsewhere (a publication, a status). A log that
	// has read nothing yet begins there instead of searching for the end; an end
	// before it is a *Break.
	Start Head
}

// Log appends to one chain. It is safe for concurrent use; any number of logs, in
// any number of processes, may append to one chain.
type Log struct{}

// Open returns a log on the chain. It makes no request.
func Open(bucket objstore.Bucket, chain string, keys *Keyring, opts Options) (*Log, error) {
	return nil, errors.ErrUnsupported
}

// Head returns the newest head. A log that has read before asks only for what
// came after; one that has not begins at Options.Start, or else finds the end
// with a number of requests that grows with the logarithm of the history.
func (l *Log) Head(ctx context.Context) (Head, error) { return Head{}, errors.ErrUnsupported }

// Appended is the answer for one row.
type Appended struct {
	Row     Row  // as it stands in the chain, read back
	Head    Head // the newest head this log has seen; it covers Row
	Already bool // the row was there before this call
	// Err is set by AppendAll for a row that was refused alone: *ConflictError,
	// or a *Break about the row that records the operation.
	Err error
}

// AppendOnce records how an operation ended, unless the trail has it already.
// since is a head from before the outcome was decided (the one in the operation's
// own publication, or in the sidecar's base); only later objects are searched.
// The zero Head searches all.
//
// When err is nil the row was read from the bucket: whatever it is the evidence
// for may be deleted. Errors: *ConflictError, *Break, ErrInvalidRow,
// ErrNoCurrentKey, ErrBusy: nothing was written. ErrUnknown: append again. Any
// other error: nothing was written.
func (l *Log) AppendOnce(ctx context.Context, row Row, since Head) (Appended, error) {
	return Appended{}, errors.ErrUnsupported
}

// AppendAll is AppendOnce for many operations at once, sharing objects and
// requests; since is the oldest of theirs. The result has one answer per row, in
// order. A row refused alone (Appended.Err) does not keep its neighbours out.
func (l *Log) AppendAll(ctx context.Context, rows []Row, since Head) ([]Appended, error) {
	return nil, errors.ErrUnsupported
}

// Find returns the row that records how an operation ended, searching the
// objects after since. It reads up to the newest object; false means that there
// is no such row there.
func (l *Log) Find(ctx context.Context, operation string, since Head) (Row, bool, error) {
	return Row{}, false, errors.ErrUnsupported
}

// Rows yields the rows from object number from on (0: from the start), as they
// stand, unverified. An object that cannot be read is yielded as a *Break and
// passed over; any other error is yielded last.
func (l *Log) Rows(ctx context.Context, from uint64) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) { yield(Row{}, errors.ErrUnsupported) }
}
