// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/salvor-io/salvor/internal/joint"
)

// maxGroup is how many rows travel together at most. MaxBatch bounds their bytes.
const maxGroup = 512

// request is one row that its appender waits for.
type request struct {
	ctx   context.Context
	row   Row
	since Head
	// shared: it is on its way with others, whose contexts may live longer.
	shared atomic.Bool

	done chan struct{} // closed once res and err are final
	res  Appended
	err  error
}

func (r *request) settle(res Appended, err error) {
	r.res, r.err = res, err
	close(r.done)
}

// line is where the rows of this process wait while others are on their way.
//
//	AppendOnce ──join──▶ line ──board──▶ searched together ──▶ one object ──▶ each is told
//	AppendOnce ──join──▶  │
//	                      └── who comes meanwhile is in the object after
//
// Alone, a row waits for nobody.
type line struct {
	mu      sync.Mutex
	waiting []*request
	busy    bool // somebody carries what waits
}

// join puts r in line. start: nobody carries what waits, the caller has to.
func (l *line) join(r *request) (start bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, r)
	start, l.busy = !l.busy, true
	return start
}

// leave takes r out of the line; false when it is on its way already.
func (l *line) leave(r *request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, r)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// board takes the first in line. Nobody: whoever joins next has to carry.
func (l *line) board() []*request {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), maxGroup)
	aboard := slices.Clone(l.waiting[:n])
	for _, r := range aboard {
		r.shared.Store(n > 1)
	}
	l.waiting = slices.Delete(l.waiting, 0, n)
	l.busy = n > 0
	return aboard
}

// carry appends what waits, and what joins meanwhile.
func (l *Log) carry() {
	for {
		<-l.busy // who holds it has a bound of its own
		aboard := l.line.board()
		if len(aboard) > 0 {
			l.appendGroup(aboard)
		}
		l.unlock()
		if len(aboard) == 0 {
			return
		}
	}
}

// appendGroup tells each of aboard what became of its row. The log is locked.
func (l *Log) appendGroup(aboard []*request) {
	ctxs := make([]context.Context, len(aboard))
	for i, r := range aboard {
		ctxs[i] = r.ctx
	}
	ctx, release := joint.Context(ctxs)
	defer release()
	s := &search{wanted: map[string]bool{}, found: map[string]finding{}}
	for _, r := range aboard {
		s.want(&r.row)
	}
	var rows []Row
	var kept []*request
	for i, r := range aboard {
		err := l.recall(ctx, r.since, s)
		var broken *Break
		switch {
		case err == nil:
			rows, kept = append(rows, r.row), append(kept, r)
		case errors.As(err, &broken): // its head is not on this chain: its own trouble
			r.settle(Appended{}, fmt.Errorf("search audit chain %s: %w", l.chain, err))
		default: // the bucket does not answer: asking for each would not help
			for _, r := range append(kept, aboard[i:]...) {
				r.settle(Appended{}, fmt.Errorf("search audit chain %s: %w", l.chain, err))
			}
			return
		}
	}
	if len(kept) == 0 {
		return
	}
	all, err := l.appendRows(ctx, rows, s)
	for i, r := range kept {
		if err != nil {
			r.settle(Appended{}, err)
		} else {
			r.settle(all[i], all[i].Err)
		}
	}
}
