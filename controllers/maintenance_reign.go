// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"

	"github.com/salvor-io/salvor/manifest"
)

// reigns are the roots in which this process has registered as the one that locks,
// with the epoch that it got. A successor's registration ends it: whatever this
// process publishes about a lock from then on is refused.
type reigns struct {
	mu sync.Mutex
	by map[*Root]manifest.Publisher
}

func (r *reigns) of(root *Root) (manifest.Publisher, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	by, ok := r.by[root]
	return by, ok
}

// begin registers in a root.
func (r *reigns) begin(ctx context.Context, root *Root) error {
	by, err := root.Recoverer.Reign(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[*Root]manifest.Publisher{}
	}
	r.by[root] = by
	return nil
}

func (r *reigns) end(root *Root) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.by, root)
}
