// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/salvor-io/salvor/internal/joint"
)

// flight carries publications from the line into the manifest.
//
//	line ──board──▶ members ──Admit, one after the other──▶ one batch ──put if absent──▶ told
//	                   ▲                     │ refused by the state itself: told why
//	                   └── lost the number ──┤
//	                   └── refused only because of a neighbour: the batch after this one
//
// Nobody is told anything on the strength of a neighbour that is not published
// yet: the put may still fail.
type flight struct {
	s       *Store
	members []*request
	fresh   bool // the state was read after every member came
}

// fly carries everybody in line, and everybody who joins meanwhile.
func (s *Store) fly() {
	f := &flight{s: s}
	for {
		before := len(f.members)
		if f.members = s.line.board(f.members); len(f.members) > before {
			// Whoever boards now may have come after the last answer was on its way.
			f.fresh = false
		}
		if len(f.members) > 0 {
			f.step()
		} else if !s.line.more() {
			return
		}
	}
}

// step makes one attempt to publish what the state admits.
func (f *flight) step() {
	ctx, release := together(f.members)
	defer release()
	if wait, quiet := f.s.pace.standBack(f.s.opt.Now()); wait > 0 {
		f.standBack(ctx, min(wait, quiet))
		return
	}
	st := f.s.View()
	b := f.admit(st)
	switch {
	case b.stale:
		f.refresh(ctx)
		return
	case len(b.aboard) == 0:
		f.members = b.behind
		return
	}
	pub, won, err := f.s.create(ctx, st, b.publication())
	switch {
	case errors.Is(err, errPassed):
		for _, r := range b.aboard {
			r.passed = &pub
		}
		f.members = append(f.again(b.aboard), b.behind...)
		_, err := f.s.restart(ctx)
		if f.fresh = err == nil; err != nil {
			f.tell(f.members, Published{}, err)
			f.members = nil
		}
	case err != nil:
		f.tell(b.aboard, Published{}, err)
		f.members, f.fresh = b.behind, false
	case won:
		f.tell(b.aboard, pub, nil)
		f.members, f.fresh = b.behind, true
	default:
		f.members = append(f.again(b.aboard), b.behind...)
		if f.refresh(ctx); len(f.members) > 0 {
			f.pause(ctx)
		}
	}
}

// together returns a context that ends when the last of the members' contexts has
// ended: one who leaves does not end the others' request.
func together(members []*request) (_ context.Context, release func()) {
	all := make([]context.Context, len(members))
	for i, r := range members {
		all[i] = r.ctx
	}
	return joint.Context(all)
}

// boarding is what one look at the members came to.
type boarding struct {
	aboard, behind []*request
	entries        []Entry
	// stale: somebody would be refused, which is told from the newest state only.
	stale bool
}

func (b *boarding) publication() Publication {
	p := Publication{By: b.aboard[0].pub.By, Entries: b.entries}
	for _, r := range b.aboard {
		if r.pub.Head.Number > p.Head.Number {
			p.Head = r.pub.Head
		}
	}
	return p
}

// admit decides which members may be in the next batch, and tells those that st
// refuses. What a neighbour in the batch makes impossible waits for its outcome.
func (f *flight) admit(st *State) (b boarding) {
	seen := st
	if over := f.s.expired(st); over != nil && !f.members[0].expires() {
		// Who first sees that a lock is over says so, in front of what is its own.
		b.entries = []Entry{*over}
		st = st.cow()
		st.extend(b.entries, f.members[0].pub.By, st.Version+1)
	}
	work := st.cow()
	for _, r := range f.members {
		if err := context.Cause(r.ctx); err != nil {
			r.settle(Published{}, r.unless(fmt.Errorf("not published: %w", err)))
			continue
		}
		kept, err := Admit(work, r.pub)
		if err == nil && len(kept) > 0 {
			if f.fresh {
				r.passed = nil // the newest state does not have it
			}
			b.aboard, b.entries = append(b.aboard, r), append(b.entries, kept...)
			work.extend(kept, r.pub.By, st.Version+1)
			continue
		}
		if len(b.aboard) > 0 { // is it the neighbours, or the state itself?
			if kept, err = Admit(st, r.pub); err == nil && len(kept) > 0 {
				b.behind = append(b.behind, r)
				continue
			}
		}
		if !f.fresh {
			f.members = unsettled(f.members)
			return boarding{stale: true}
		}
		if r.counted(err) {
			r.settle(Published{Version: r.passed.Version, State: seen, Batch: r.passed.Batch, Attempts: r.lost}, nil)
		} else if err != nil {
			r.settle(Published{}, err)
		} else {
			r.settle(Published{State: seen}, nil)
		}
	}
	return b
}

func unsettled(members []*request) (left []*request) {
	for _, r := range members {
		select {
		case <-r.done:
		default:
			left = append(left, r)
		}
	}
	return left
}

// again keeps those who lost the number and may try another; the others have
// used up their budget.
func (f *flight) again(lost []*request) (left []*request) {
	for _, r := range lost {
		if r.lost++; r.lost <= f.s.opt.Rebase {
			left = append(left, r)
			continue
		}
		r.settle(Published{}, r.unless(fmt.Errorf("%w: lost %d times to other publications", ErrContention, r.lost)))
	}
	return left
}

func (f *flight) refresh(ctx context.Context) {
	st, err := f.s.Latest(ctx)
	if err == nil && st.Lock != nil {
		err = f.s.askDate(ctx) // is it over?
	}
	if err != nil {
		f.tell(f.members, Published{}, err)
		f.members = nil
	}
	f.fresh = true
}

// standBack lets others go first.
func (f *flight) standBack(ctx context.Context, d time.Duration) {
	before := f.s.View().Version
	if err := f.s.opt.Sleep(ctx, d); err != nil {
		f.tell(f.members, Published{}, fmt.Errorf("not published: %w", err))
		f.members = nil
		return
	}
	if f.refresh(ctx); f.s.View().Version == before {
		f.s.pace.alone()
	}
}

// pause lets a crowd thin out.
func (f *flight) pause(ctx context.Context) {
	worst := 0
	for _, r := range f.members {
		worst = max(worst, r.lost)
	}
	d := time.Duration(f.s.opt.Jitter() * float64(f.s.pace.yield(worst)))
	if d == 0 {
		return
	}
	if err := f.s.opt.Sleep(ctx, d); err != nil {
		f.tell(f.members, Published{}, err)
		f.members = nil
	}
}

func (f *flight) tell(to []*request, pub Published, err error) {
	for _, r := range to {
		if pub.Version != 0 {
			pub.Attempts = r.lost + 1
		}
		r.settle(pub, r.unless(err))
	}
}
