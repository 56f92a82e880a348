// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package joint gives one context to what several callers wait for together:
//
//	caller A ──ctx──┐
//	caller B ──ctx──┼──▶ one request that carries something of each
//	caller C ──ctx──┘
//
// One who leaves does not end the others' request; the last one does.
package joint

import (
	"context"
	"sync/atomic"
)

// Context returns a context that ends when the last of all has ended, for that
// one's cause. It carries the values of the first, and no deadline. There is at
// least one. release must be called when the work is done.
func Context(all []context.Context) (_ context.Context, release func()) {
	if len(all) == 1 {
		return all[0], func() {}
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(all[0]))
	var live atomic.Int64
	live.Store(int64(len(all)))
	stops := make([]func() bool, len(all))
	for i, one := range all {
		stops[i] = context.AfterFunc(one, func() {
			if live.Add(-1) == 0 {
				cancel(context.Cause(one))
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}
