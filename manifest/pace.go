// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"sync"
	"time"
)

// pace makes processes that publish all the time take turns, without a word to
// each other. Who has won a number could win the next one too: it has read
// everything, and the others read still. So it stands back for about as many
// numbers as others had one between its last two, and they go first:
//
//	A wins 41 ── B 42 ── C 43 ── D 44 ── A wins 45, having seen three others ── stands back
//
// Nothing depends on it but how many puts are in vain and how fair it is. A process
// that is alone, or that publishes now and then, never waits.
type pace struct {
	mu sync.Mutex
	// put is how long a put that won took, on average; slot is the time between two
	// numbers, whosever, when this process won last.
	put, slot time.Duration
	// won is when this process won last; self is as whom.
	won  time.Time
	self ProcessID
	// seen are the publications of others since then, by whom.
	seen  int
	whose map[ProcessID]bool
	// others is how many had one between the last two; 0 when numbers were free.
	others int
}

// saw notes a publication that was read.
func (p *pace) saw(by ProcessID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by == p.self {
		return
	}
	if p.whose == nil {
		p.whose = map[ProcessID]bool{}
	}
	p.seen++
	p.whose[by] = true
}

// win notes an own publication, whose put lasted from began to now.
func (p *pace) win(by ProcessID, began, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := now.Sub(began)
	if p.put == 0 {
		p.put = took
	}
	p.put = (3*p.put + took) / 4
	// The numbers were sought after if half the time somebody's put was under way.
	p.others, p.slot = 0, p.put
	if !p.won.IsZero() && 2*time.Duration(p.seen)*p.put >= now.Sub(p.won) {
		p.others, p.slot = len(p.whose), now.Sub(p.won)/time.Duration(p.seen+1)
	}
	p.won, p.self, p.seen, p.whose = now, by, 0, nil
}

// standBack returns how long to wait before the next put, and after what time
// without news the wait is over. 0: put now.
func (p *pace) standBack(now time.Time) (wait, quiet time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.others - len(p.whose)
	if left <= 0 {
		return 0, 0
	}
	// A slot and a half early: the line is not to run dry.
	return max(0, p.won.Add(time.Duration(p.others)*p.slot-p.slot*3/2).Sub(now)), 3 * p.slot
}

// alone says that nobody came who could have.
func (p *pace) alone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.others = 0
}

// yield is how long at most to wait after a number was lost for the nth time: who
// has lost before goes before who has not.
func (p *pace) yield(lost int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Duration(max(0, 3-lost)) * p.slot / 3
}
