// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance"
	"github.com/salvor-io/salvor/maintenance/freeze"
	"github.com/salvor-io/salvor/manifest"
)

// freezing is one pass over one maintenance. It implements freeze.Party: what package
// freeze wants to be remembered is in the resource's status.
type freezing struct {
	*StoreMaintenanceReconciler
	m     *v1alpha1.StoreMaintenance
	st    *v1alpha1.StoreMaintenanceStatus
	roots map[string]*Root
}

func (f *freezing) terms() maintenance.Terms {
	t := maintenance.Terms{
		Owner: lockOwner(f.m), Reason: fmt.Sprintf("%s (StoreMaintenance %s/%s)", f.m.Spec.Reason, f.m.Namespace, f.m.Name),
		Until: f.m.Spec.Until.Time, DrainFor: v1alpha1.DefaultDrainTimeout, OnTimeout: maintenance.OnTimeout(f.m.Spec.Drain.OnTimeout),
		Leave:  f.st.Leaving || !f.m.DeletionTimestamp.IsZero(),
		Hooked: len(f.m.Spec.Hooks) > 0,
	}
	if d := f.m.Spec.Drain.Timeout; d != nil {
		t.DrainFor = d.Duration
	}
	return t
}

func (f *freezing) frozen(ctx context.Context) (out []freeze.Store) {
	for i := range f.st.Stores {
		s := &f.st.Stores[i]
		root, problem := f.root(ctx, f.m.Namespace, s.Name)
		store := freeze.Store{Name: s.Name, Problem: problem, Known: freeze.Known{
			Was: maintenance.State(s.State), Asked: s.AskedAt != nil, Took: s.LockedAt > 0, Hooked: s.Hooks != nil,
		}}
		if s.AskedAt != nil {
			store.AskedAt = manifest.Version(*s.AskedAt)
		}
		if root != nil {
			store.Manifest = root.Manifest
			store.Pods = func() []maintenance.Pod { return f.streams.Pods(root) }
		}
		if len(f.m.Spec.Hooks) > 0 {
			store.Hooks = func(ctx context.Context, l *manifest.Lock) (*maintenance.Hooked, error) {
				return f.hooked(ctx, f.m, s, l)
			}
		}
		f.roots[s.Name] = root
		out = append(out, store)
	}
	return out
}

// Remember implements freeze.Party. That the resource is gone is an error here: nothing
// is begun for one that was deleted.
func (f *freezing) Remember(ctx context.Context, seen freeze.Seen, askedAt map[string]manifest.Version) error {
	if seen.Plan.Leave && !f.st.Leaving && f.m.DeletionTimestamp.IsZero() {
		f.st.Leaving, f.st.LeavingReason = true, v1alpha1.ReasonDrainTimedOut
		if seen.Plan.Hook {
			f.st.LeavingReason = v1alpha1.ReasonHookFailed
		}
		f.events.Eventf(f.m, nil, eventType(true), f.st.LeavingReason, "Release", "%s", clip(seen.Plan.Why))
	}
	for i := range f.st.Stores {
		s := &f.st.Stores[i]
		if h := seen.Views[s.Name].Hooks; h != nil && h.Made && s.Hooks == nil {
			s.Hooks = new(countsOf(h.HookPlan))
		}
		if at, ok := askedAt[s.Name]; ok {
			s.AskedAt = new(int64(at))
		}
	}
	progress{plan: seen.Plan, views: seen.Views}.into(f.m, f.st, f.opt.Now())
	return f.write(ctx, f.m, f.st)
}

// Publisher implements freeze.Party: the operator that acts, under its epoch in the
// store's root.
func (f *freezing) Publisher(ctx context.Context, store string) (by manifest.Publisher, begun bool, err error) {
	if err := f.opt.Leads(ctx); err != nil {
		return by, false, err
	}
	root := f.roots[store]
	if by, ok := f.reigns.of(root); ok {
		return by, false, nil
	}
	if err := f.reigns.begin(ctx, root); err != nil {
		return by, false, err
	}
	by, _ = f.reigns.of(root)
	return by, true, nil
}

// Hook implements freeze.Party.
func (f *freezing) Hook(ctx context.Context, store string) error {
	return f.makeHookRun(ctx, f.m, store)
}

// Did implements freeze.Party.
func (f *freezing) Did(ctx context.Context, store string, step maintenance.Step, err error) {
	log, root := ctrl.LoggerFrom(ctx).WithValues("store", store, "step", string(step)), f.roots[store]
	if step == maintenance.StepFence {
		f.streams.Learned(root)
	}
	switch {
	case err == nil:
		log.Info("maintenance")
		f.streams.RefreshAll(root)
		f.stores.up(root.Store, normal, 0)
	default:
		if errors.Is(err, manifest.ErrFenced) {
			f.reigns.end(root)
		}
		if step != maintenance.StepHook { // that one is the API server's
			root.away.note(err, f.opt.Now())
		}
		log.Info("maintenance: the step failed, and is tried again", "reason", err.Error())
	}
}

// Say implements freeze.Party.
func (f *freezing) Say(err error) string { return short(err) }
