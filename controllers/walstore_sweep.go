// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/recovery"
)

// lull sums up whether anything happens in a store.
func (r *WALStoreReconciler) lull(root *Root, m *memory) lull {
	sum := r.streams.Summary(root)
	return lull{
		moved:   sum.ahead || root.Manifest.View().Version != m.swept,
		pending: r.ledger.count(root.UID), pods: sum.pods, streaming: sum.streaming,
	}
}

// hasten brings the next listing forward when the store is idle no more.
func (r *WALStoreReconciler) hasten(root *Root, m *memory) {
	now := r.opt.Now()
	if m.sweepAt.Sub(now) > r.opt.SweepEvery && !r.lull(root, m).quiet() {
		m.sweepAt = now.Add(jitter(r.opt.SweepEvery))
	}
}

// sweep lists what pends, when that is due, and lets go of what is long finished.
func (r *WALStoreReconciler) sweep(ctx context.Context, root *Root, m *memory) {
	now := r.opt.Now()
	if now.Before(m.sweepAt) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	st, err := root.Manifest.Latest(ctx)
	if err == nil {
		r.streams.Learned(root)
		err = r.sweeper.all(ctx, root, background)
	}
	r.meters.swept(err)
	m.listed.settle(err, func(err error) *finding {
		return found(v1alpha1.ConditionRecovering, v1alpha1.ReasonListingFailed, "%s", short(err))
	})
	if err != nil {
		m.unlisted++
		m.sweepAt = now.Add(r.opt.backoff(m.unlisted))
		return
	}
	m.unlisted = 0
	m.sweepAt = now.Add(r.opt.pace(r.lull(root, m)))
	m.swept = st.Version
	if len(st.Outcomes) < 2*recovery.KeepOutcomes {
		return
	}
	if err := root.Recoverer.Trim(ctx, recovery.KeepOutcomes); err != nil {
		ctrl.LoggerFrom(ctx).Info("the recent outcomes were not trimmed; the next sweep tries again", "reason", err.Error())
	}
}
