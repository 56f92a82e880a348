// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"errors"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// Recovers is a recoverer that looks at everything that is listed, as often as it
// takes and at most a few times. Process, if set, is whose epochs it may end.
func Recovers(name string, a recovery.Authority) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		r, _, err := p.recoverer(ctx)
		for pass := 0; err == nil && pass < tries; pass++ {
			left, err := p.pass(ctx, r, a)
			if err == nil && left == 0 || p.Dead() {
				return
			}
		}
	}}
}

// pass is one look at all that is listed; left is what it could not finish.
func (p *Process) pass(ctx context.Context, r *recovery.Recoverer, a recovery.Authority) (left int, err error) {
	listed, err := recovery.List(ctx, p.Bucket())
	if err != nil {
		return 0, err
	}
	for _, l := range listed {
		if l.Lone {
			err = errors.Join(err, r.Litter(ctx, l))
			continue
		}
		rep, e := r.Recover(ctx, l.Key, a)
		if err = errors.Join(err, e); e == nil && !rep.Complete {
			left++
		}
		p.reported(rep)
	}
	return left, err
}

// reported checks what a recoverer says of an operation. Nothing here is damaged.
func (p *Process) reported(rep recovery.Report) {
	l := p.w.ledger
	if l == nil {
		return
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	switch v := rep.Verdict; {
	case v.Decision == recovery.Refuse:
		l.breach("NothingSoundIsRefused", "%s refuses %s: %s", p.Name, rep.Operation, v.Message)
	case v.Decision == recovery.RollBack && !recovery.TraitsOf(rep.Sidecar.Kind).Visible:
		l.breach("WhatNobodySawNeedsNobody", "%s would undo %s, of which nobody can see anything: %s", p.Name, rep.Operation, v.Message)
	case v.Reason == recovery.ReasonFrozen && recovery.TraitsOf(rep.Sidecar.Kind) == (recovery.Traits{Mode: recovery.ModeConfirmed}) && !l.ops[rep.Operation].confirmed:
		l.breach("WhatIsAbandonedWaitsForNoLock", "%s leaves %s, which was never confirmed, for a lock: %s", p.Name, rep.Operation, v.Message)
	case v.Reason == recovery.ReasonFrozen && l.lock != nil && l.lock.Mode == manifest.Draining && rep.Sidecar.Base < l.lock.Version && !recovery.TraitsOf(rep.Sidecar.Kind).Visible:
		l.breach("ADrainWaitsForNobodyThatWaits", "%s leaves %s (base %d) while %s drains since %d, and the drain waits for it", p.Name, rep.Operation, rep.Sidecar.Base, l.lock.Owner, l.lock.Version)
	}
}

// Collects is a collector that keeps so many publications at least, and no more than
// it has to.
func Collects(name string, versions uint64) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		s, err := p.manifest(ctx)
		if err == nil {
			opt := p.collectOptions()
			opt.Versions = versions
			_, _ = s.Collect(ctx, opt)
		}
	}}
}

func (p *Process) collectOptions() manifest.CollectOptions {
	return manifest.CollectOptions{
		Retention: manifest.Retention{Versions: 1, Age: manifest.MinAge}, By: p.ID(), Pending: recovery.Pending(p.Bucket()),
	}
}

// Trims is a recoverer that forgets as many outcomes as it may.
func Trims(name string) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		if r, _, err := p.recoverer(ctx); err == nil {
			_ = r.Trim(ctx, 0)
		}
	}}
}

// Locks is a maintenance that takes the lock for so long, and is not seen again.
func Locks(name string, mode manifest.LockMode, until time.Duration) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		if s, err := p.manifest(ctx); err == nil {
			_, _ = s.Lock(ctx, manifest.Publisher{Role: manifest.RoleOperator, Process: p.ID()}, manifest.Lock{
				Owner: name, Reason: "maintenance", Mode: mode, Since: p.Now(), Until: p.Now().Add(until),
			})
		}
	}}
}

// Drains is a maintenance that waits until everything that began before its lock is
// finished, and then thaws the store.
func Drains(name string) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		s, err := p.manifest(ctx)
		if err != nil {
			return
		}
		by := manifest.Publisher{Role: manifest.RoleOperator, Process: p.ID()}
		lock := manifest.Lock{Owner: name, Reason: "maintenance", Mode: manifest.Draining, Since: p.Now(), Until: p.Now().Add(2 * time.Hour)}
		if _, err := s.Lock(ctx, by, lock); err != nil {
			return
		}
		for range tries {
			listed, err := recovery.List(ctx, p.Bucket())
			if err == nil && len(listed) == 0 || p.Sleep(ctx, poll) != nil {
				break
			}
		}
		_, _ = s.Release(ctx, by, name)
	}}
}

// Freezes is a maintenance that drains the store, freezes it and thaws it.
func Freezes(name string) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		s, err := p.manifest(ctx)
		if err != nil {
			return
		}
		by := manifest.Publisher{Role: manifest.RoleOperator, Process: p.ID()}
		lock := manifest.Lock{Owner: name, Reason: "maintenance", Since: p.Now(), Until: p.Now().Add(2 * time.Hour)}
		for _, mode := range []manifest.LockMode{manifest.Draining, manifest.Frozen} {
			lock.Mode = mode
			if _, err := s.Lock(ctx, by, lock); err != nil {
				return
			}
		}
		_, _ = s.Release(ctx, by, name)
	}}
}
