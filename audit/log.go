// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"crypto/rand"
	"fmt"
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
type Log struct {
	bucket objstore.Bucket
	chain  string
	keys   *Keyring
	opts   Options

	line line          // this process's rows that wait for their object
	busy chan struct{} // holds one token; whoever took it may use seen
	seen *memory       // nil: nothing was read yet
}

// Open returns a log on the chain. It makes no request.
func Open(bucket objstore.Bucket, chain string, keys *Keyring, opts Options) (*Log, error) {
	if !validName(chain) {
		return nil, fmt.Errorf("audit chain %q: only letters, digits, '-', '_' and '.' are allowed", chain)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.NewAttempt == nil {
		opts.NewAttempt = rand.Text
	}
	if opts.Wait == nil {
		opts.Wait = wait
	}
	l := &Log{bucket: bucket, chain: chain, keys: keys, opts: opts, busy: make(chan struct{}, 1)}
	l.busy <- struct{}{}
	return l, nil
}

// Head returns the newest head. A log that has read before asks only for what
// came after; one that has not begins at Options.Start, or else finds the end
// with a number of requests that grows with the logarithm of the history.
func (l *Log) Head(ctx context.Context) (Head, error) {
	if err := l.lock(ctx); err != nil {
		return Head{}, err
	}
	defer l.unlock()
	if l.seen == nil {
		if err := l.begin(ctx); err != nil {
			return Head{}, fmt.Errorf("find the head of audit chain %s: %w", l.chain, err)
		}
	}
	if err := l.catchUp(ctx, l.seen, nil); err != nil {
		return Head{}, fmt.Errorf("find the head of audit chain %s: %w", l.chain, err)
	}
	return l.seen.head, nil
}

// lock waits for the log, no longer than ctx does.
func (l *Log) lock(ctx context.Context) error {
	select {
	case <-l.busy:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for audit chain %s: %w", l.chain, context.Cause(ctx))
	}
}

func (l *Log) unlock() { l.busy <- struct{}{} }

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
