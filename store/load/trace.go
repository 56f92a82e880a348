// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"time"
)

// Trace is what became of one transaction, for whoever looks at times.
type Trace struct {
	Token string `json:"token"`
	// Target is the number of the store in Options.Targets.
	Target int `json:"target"`
	// Due is when it was to be sent; in a closed loop, when it was.
	Due time.Time `json:"due"`
	// Took is the time from Due to the answer.
	Took time.Duration `json:"took"`
	// Position in the store's log.
	Position uint64 `json:"position"`
	// Failed are the tries that were not answered, or refused.
	Failed []Try `json:"failed,omitempty"`
}

// Answered is when the transaction was acknowledged.
func (t Trace) Answered() time.Time { return t.Due.Add(t.Took) }

// Try is one that failed.
type Try struct {
	Sent time.Time `json:"sent"`
	// Status of the answer; 0: there was none.
	Status int `json:"status,omitempty"`
	// Waited is how long this try took.
	Waited time.Duration `json:"waited"`
	Says   string        `json:"says"`
}

// schedule makes a transaction due each Every from first on, whether or not the ones
// before it were answered. One that finds no free worker is due since then all the same.
func (r *run) schedule(ctx context.Context, first time.Time, due chan<- time.Time) {
	defer close(due)
	for next := first; r.take(); next = next.Add(r.opt.Every) {
		if wait := next.Sub(r.opt.Now()); wait > 0 && r.opt.Sleep(ctx, wait) != nil {
			return
		}
		select {
		case due <- next:
		case <-ctx.Done():
			return
		}
	}
}
