// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"sync"
)

// turns lets those who read on at the same time share one walk: a crowd that has
// missed a hundred publications reads them once.
//
//	arrive ──▶ wait for the token ──▶ did a walk to the end begin after I arrived?
//	                                     yes: what it saw is news enough for me
//	                                     no:  walk
type turns struct {
	token chan struct{}

	mu    sync.Mutex
	begun uint64 // walks that began
	seen  uint64 // the newest of them that ended well
}

func newTurns() *turns {
	t := &turns{token: make(chan struct{}, 1)}
	t.token <- struct{}{}
	return t
}

// take waits for a turn. enough is asked then, and told whether a walk that began
// after take was called has ended well; if it is, there is nothing to do: done is
// nil. Otherwise the caller walks, and calls done; all: it was up to the end.
func (t *turns) take(ctx context.Context, enough func(shared bool) bool) (done func(all bool), err error) {
	t.mu.Lock()
	arrived := t.begun
	t.mu.Unlock()
	select {
	case <-t.token:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another reader: %w", context.Cause(ctx))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if enough(t.seen > arrived) {
		t.token <- struct{}{}
		return nil, nil
	}
	t.begun++
	own := t.begun
	return func(all bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if all {
			t.seen = own
		}
		t.token <- struct{}{}
	}, nil
}
