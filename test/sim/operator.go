// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/maintenance/freeze"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

// operator looks after one maintenance of the world's store. It does what the
// controller does with package freeze, and keeps the resource in the world's bucket.
type operator struct {
	p     *Process
	m     *manifest.Store
	r     *recovery.Recoverer
	by    manifest.Publisher
	reign bool
	now   smt
}

// Maintains is an operator that freezes the store for a maintenance, and lets it go. It
// looks so often at most.
func Maintains(name, of string, looks int) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		r, m, err := p.recoverer(ctx)
		if err != nil {
			return
		}
		o := &operator{p: p, m: m, r: r}
		for range looks {
			if o.pass(ctx, of) || p.Sleep(ctx, poll) != nil {
				return
			}
		}
	}}
}

// pass is one reconciliation; over says that nothing is left to be done.
func (o *operator) pass(ctx context.Context, of string) (over bool) {
	for range tries {
		var err error
		if o.now, err = o.p.maintenanceOf(ctx, of); err != nil || o.now.version == 0 {
			return false
		}
		if o.now.Deleted || o.now.Released {
			_, _, err := freeze.Orphan(ctx, o.m, o.mine, o.publisher, o.gone)
			return err == nil
		}
		t := maintenance.Terms{Owner: o.now.owner(), Reason: "maintenance", Until: o.now.Until, DrainFor: time.Minute, OnTimeout: maintenance.Release, Leave: o.now.Leaving}
		seen, came, err := freeze.Pass(ctx, t, []freeze.Store{{
			Name: "s", Manifest: o.m, Pods: o.p.w.pods(o.m), Known: freeze.Known{Was: o.now.State, Asked: o.now.Asked, AskedAt: o.now.AskedAt, Took: o.now.Took},
		}}, o.p.Now, o)
		if err != nil || came == freeze.Again {
			continue
		}
		next, n, v := o.now, seen.Plan.Stores["s"], seen.Views["s"]
		next.State, next.Released = n.State, n.State == maintenance.Released
		next.Took = next.Took || v.Lock != nil && v.Lock.Owner == t.Owner
		if next != o.now && o.p.save(ctx, &next) != nil {
			return false
		}
		return next.Released
	}
	return false
}

// Remember implements freeze.Party.
func (o *operator) Remember(ctx context.Context, seen freeze.Seen, askedAt map[string]manifest.Version) error {
	next := o.now
	next.Leaving = seen.Plan.Leave
	if at, ok := askedAt["s"]; ok {
		next.Asked, next.AskedAt = true, at
	}
	err := o.p.save(ctx, &next)
	if err == nil {
		o.now = next
	}
	return err
}

// Publisher implements freeze.Party.
func (o *operator) Publisher(ctx context.Context, _ string) (by manifest.Publisher, begun bool, err error) {
	if o.reign {
		return o.by, false, nil
	}
	by, err = o.publisher(ctx)
	return by, err == nil, err
}

func (o *operator) publisher(ctx context.Context) (by manifest.Publisher, err error) {
	if !o.reign {
		o.by, err = o.r.Reign(ctx)
		o.reign = err == nil
	}
	return o.by, err
}

// Did implements freeze.Party.
func (o *operator) Did(_ context.Context, _ string, _ maintenance.Step, err error) {
	if err != nil {
		o.reign = false
		return
	}
	for _, name := range slices.Sorted(maps.Keys(o.p.w.procs)) {
		if p := o.p.w.procs[name]; p.nudge != nil && !p.Dead() {
			p.nudge()
		}
	}
}

// Hook implements freeze.Party. The maintenances of this world have none.
func (o *operator) Hook(context.Context, string) error { panic("sim: a maintenance without hooks") }

// Say implements freeze.Party.
func (o *operator) Say(err error) string { return err.Error() }

func (o *operator) mine(l *manifest.Lock) bool { return l.Owner == o.now.owner() }

func (o *operator) gone(ctx context.Context, _ *manifest.Lock) (string, error) {
	m, err := o.p.maintenanceOf(ctx, o.now.name)
	if err != nil || !m.Deleted && !m.Released {
		return "", err
	}
	return "it is over", nil
}

// ThawsByHand is a person who ends the lock of a maintenance with the command line,
// when it is there.
func ThawsByHand(name, of string) Actor {
	return Actor{name, func(ctx context.Context, p *Process) {
		m, err := p.manifest(ctx)
		for range tries {
			if err == nil && m.View().Lock != nil {
				_, _ = m.Release(ctx, manifest.Publisher{Role: manifest.RoleOperator, Process: p.ID()}, smt{name: of}.owner())
				return
			}
			if p.Sleep(ctx, poll) != nil {
				return
			}
			_, err = m.Latest(ctx)
		}
	}}
}

// pods is what the cluster and the control port say of the writers that have an epoch
// in a manifest. A process that is not there, or has died, is known to be dead.
func (w *World) pods(m *manifest.Store) func() []maintenance.Pod {
	return func() (out []maintenance.Pod) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for id, e := range m.View().Writers {
			if id == manifest.Recoverer {
				continue
			}
			pod := maintenance.Pod{Name: string(id), Epoch: e, Dead: true}
			for _, name := range slices.Sorted(maps.Keys(w.procs)) {
				if p := w.procs[name]; p.id == id && p.word != nil && !p.dead && (pod.Dead || p.ID() == e.Process) {
					word := p.word()
					pod.Dead, pod.Word = false, &word
				}
			}
			out = append(out, pod)
		}
		slices.SortFunc(out, func(a, b maintenance.Pod) int { return strings.Compare(a.Name, b.Name) })
		return out
	}
}
