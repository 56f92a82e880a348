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
func Recovers(name string, a recovery.RollForwardOnly) Actor {
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
		if l := p.w.ledger; l != nil && rep.Verdict.Decision == recovery.Refuse { // nothing here is damaged
			p.w.mu.Lock()
			l.breach("NothingSoundIsRefused", "%s refuses %s: %s", p.Name, rep.Operation, rep.Verdict.Message)
			p.w.mu.Unlock()
		}
	}
	return left, err
}

// Collects is a collector that keeps as little as it may.
func Collects(name string) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		s, err := p.manifest(ctx)
		if err == nil {
			_, _ = s.Collect(ctx, p.collectOptions())
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
