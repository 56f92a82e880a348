// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"
)

const (
	// burst is how long work in the background keeps the processor at a time. Where the
	// kernel takes it from nobody before his tick is over (4 ms with HZ=250), and there are
	// as many who want it as there are cores, a commit waits for that.
	burst = 500 * time.Microsecond
	// longestRest bounds a rest behind something that was not the processor's fault.
	longestRest = 100 * time.Millisecond
)

// breather lets work in the background rest as long as it has worked, burst by burst:
// half of one core is the most that it gets, and nobody waits for it for longer than for
// one burst and what is done between two breaths.
type breather struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
	began time.Time // of the burst
}

// begin opens a burst: what went before was not work.
func (b *breather) begin() { b.began = b.now() }

// breathe rests when the burst is over.
func (b *breather) breathe(ctx context.Context) error {
	worked := b.now().Sub(b.began)
	if worked < burst {
		return nil
	}
	err := b.sleep(ctx, min(worked, longestRest))
	b.began = b.now()
	return err
}
