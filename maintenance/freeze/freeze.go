// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/manifest"
)

// roundsMost bounds the rounds of one pass: take, fence and hold in each store.
const roundsMost = 4

// Store is one store of a freeze.
type Store struct {
	Name string
	// Manifest of its root. nil: Problem says why it is not there.
	Manifest *manifest.Store
	// Problem says why nothing can be published in it now; empty when something can.
	Problem string
	// Pods returns what is known of its writers. It is asked behind the manifest.
	Pods func() []maintenance.Pod
	// Hooks returns how far the hooks of the freeze are here, under the lock that was
	// read. nil: there are none.
	Hooks func(context.Context, *manifest.Lock) (*maintenance.Hooked, error)
	Known
}

// Known is what an operator has written down of a freeze in one store.
type Known struct {
	// Was is the state that was told last.
	Was maintenance.State
	// Asked: the lock was asked for; AskedAt is the manifest's version before that.
	Asked   bool
	AskedAt manifest.Version
	// Took: the lock was seen.
	Took bool
	// Hooked: there is a place where what the hooks do is written down.
	Hooked bool
}

// Party is the operator that freezes.
type Party interface {
	// Remember writes down that the freeze gives up (plan.Leave), the versions behind
	// which its locks are, and that there is a place for its hooks, before anything is
	// done. It is refused when somebody else has written since the freeze was read.
	Remember(ctx context.Context, seen Seen, askedAt map[string]manifest.Version) error
	// Publisher returns who publishes in a store: the newest operator that has
	// registered there. begun: it has registered in this call.
	Publisher(ctx context.Context, store string) (by manifest.Publisher, begun bool, err error)
	// Hook makes the place where what the hooks do in a store is written down.
	Hook(ctx context.Context, store string) error
	// Did is told of each step, and what it came to. An error is tried again by the
	// next pass.
	Did(ctx context.Context, store string, step maintenance.Step, err error)
	// Say puts an error into words for people.
	Say(err error) string
}

// Seen is what a round saw, and what it decided.
type Seen struct {
	Plan  maintenance.Plan
	Views map[string]maintenance.View
}

// Came is how a pass ended.
type Came uint8

const (
	// Rests: there is nothing to do until something changes.
	Rests Came = iota
	// Again: the freeze has to be read anew before anything else is done in it. What was
	// decided before this process had registered may be old.
	Again
)

// Pass does what is to be done in all stores of a freeze, as far as it can be done
// now. now is the clock of this process, for views of roots that do not answer. The
// caller has read the freeze, in t and stores, in this pass.
func Pass(ctx context.Context, t maintenance.Terms, stores []Store, now func() time.Time, who Party) (Seen, Came, error) {
	stores = slices.Clone(stores)
	for range roundsMost {
		seen := look(ctx, t, stores, now(), who)
		askedAt, hooked := map[string]manifest.Version{}, false
		for i := range stores {
			s := &stores[i]
			if h := seen.Views[s.Name].Hooks; h != nil && h.Made && !s.Hooked {
				s.Hooked, hooked = true, true
			}
			if seen.Plan.Stores[s.Name].Step == maintenance.StepTake && !s.Asked {
				s.Asked, s.AskedAt = true, s.Manifest.View().Version
				askedAt[s.Name] = s.AskedAt
			}
		}
		if len(askedAt) > 0 || hooked || seen.Plan.Leave && !t.Leave {
			t.Leave = seen.Plan.Leave
			if err := who.Remember(ctx, seen, askedAt); err != nil {
				return seen, Rests, err
			}
			continue // what was written has to be there before the step
		}
		acted, begun := act(ctx, t, stores, seen, who)
		switch {
		case begun:
			return seen, Again, nil
		case !acted:
			return seen, Rests, nil
		}
	}
	return Seen{}, Again, nil
}

func look(ctx context.Context, t maintenance.Terms, stores []Store, now time.Time, who Party) Seen {
	views := map[string]maintenance.View{}
	for _, s := range stores {
		v := maintenance.View{Date: now, Was: s.Was, Asked: s.Asked, Took: s.Took}
		problem := s.Problem
		if problem == "" {
			if err := s.view(ctx, t.Owner, &v); err != nil {
				problem = who.Say(err)
			}
		}
		if v.Problem = problem; problem != "" && s.Manifest != nil && v.Lock == nil {
			v.Lock = s.Manifest.View().Lock // the newest that is known
		}
		if s.Hooks != nil {
			hooks, err := s.Hooks(ctx, v.Lock)
			if v.Hooks = hooks; err != nil && v.Problem == "" {
				v.Problem = who.Say(err)
			}
		}
		views[s.Name] = v
	}
	return Seen{Plan: t.Decide(views), Views: views}
}

// view reads what the manifest says of the lock, and what the writers say.
func (s *Store) view(ctx context.Context, owner string, v *maintenance.View) error {
	date, err := s.Manifest.Date(ctx)
	if err != nil {
		return err
	}
	st, err := s.Manifest.Latest(ctx)
	if err != nil {
		return err
	}
	v.Date, v.Lock = date, st.Lock
	if st.EndedLock != nil && st.EndedLock.Owner == owner {
		v.Ended, v.Took = st.EndedLock, true
	}
	ours := st.Lock != nil && st.Lock.Owner == owner
	if !ours && v.Ended == nil && s.Asked {
		// It may have been taken by a process that did not live to say so, and have ended since.
		taken, ended, err := s.Manifest.FindLock(ctx, owner, s.AskedAt)
		if err != nil {
			return fmt.Errorf("look for the lock behind version %d: %w", s.AskedAt, err)
		}
		v.Took, v.Ended = v.Took || taken > 0, ended
	}
	if ours {
		v.Took, v.Pods = true, s.Pods()
	}
	return nil
}

// act does the next step in each store. acted: something has changed, or was tried
// and somebody was faster; begun: this process has registered in a root.
func act(ctx context.Context, t maintenance.Terms, stores []Store, seen Seen, who Party) (acted, begun bool) {
	for i := range stores {
		s := &stores[i]
		n := seen.Plan.Stores[s.Name]
		if n.Step == maintenance.None {
			continue
		}
		by, first, err := who.Publisher(ctx, s.Name)
		if err == nil && first {
			begun = true
			continue
		}
		switch {
		case err != nil:
		case n.Step == maintenance.StepHook:
			err = who.Hook(ctx, s.Name)
		default:
			err = Do(ctx, s.Manifest, by, t, seen.Views[s.Name], n)
		}
		var locked *manifest.LockedError
		var notHeld *manifest.NotHeldError
		switch {
		case errors.As(err, &locked), errors.As(err, &notHeld): // somebody was faster: look again
			err = nil
			acted = true
		case err == nil:
			acted = true
		default:
			n.Why = fmt.Sprintf("%s: %s", n.Step, who.Say(err))
			seen.Plan.Stores[s.Name] = n
		}
		who.Did(ctx, s.Name, n.Step, err)
	}
	return acted, begun
}

// Do publishes one step.
func Do(ctx context.Context, m *manifest.Store, by manifest.Publisher, t maintenance.Terms, v maintenance.View, n maintenance.Next) (err error) {
	l := manifest.Lock{Owner: t.Owner, Reason: t.Reason, Mode: manifest.Draining, Since: v.Date, Until: t.Until}
	switch n.Step {
	case maintenance.StepTake:
		_, err = m.Lock(ctx, by, l)
	case maintenance.StepHold:
		l.Mode, l.Since, l.Version = manifest.Frozen, v.Lock.Since, v.Lock.Version
		_, err = m.Lock(ctx, by, l)
	case maintenance.StepExtend:
		_, err = m.Extend(ctx, by, t.Owner, t.Until)
	case maintenance.StepRelease:
		_, err = m.Release(ctx, by, t.Owner)
	case maintenance.StepExpire:
		_, err = m.Expire(ctx, by)
	case maintenance.StepFence:
		var fences []manifest.Entry
		for _, w := range slices.Sorted(maps.Keys(n.Fence)) {
			fences = append(fences, manifest.Fence(w, n.Fence[w]))
		}
		_, err = m.Publish(ctx, manifest.Publication{By: by, Entries: fences})
	}
	return err
}
