// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
)

// rollBack undoes what readers can see of an operation, if the authority reaches
// so far; otherwise the report says what it would do, and for what it waits.
//
//	fence + lock      one publication; a foreign lock: later
//	observe again     under the lock; what is no roll-back any more is not undone
//	the plan          stored if absent; what is stored is followed
//	rollback <op>     the decision: from here on nobody can publish the operation
//	restore           each table of the plan
//	restore <op>      the restored pins: from here on it is complete
//	audit, release, delete
//
// The permit is checked right before each of the last three writes. A crash leaves
// the sidecar, and the next pass goes on where the manifest and the plan say.
func (r *Recoverer) rollBack(ctx context.Context, rep *Report, o *Observation, a Authority) (again bool, err error) {
	if err := rep.preview(o, a); err != nil || rep.NeedsApproval {
		return false, err
	}
	ex := a.(Exclusive) // or it needed approval
	permit, err := r.acquire(ctx, o.Sidecar, ex)
	var locked *manifest.LockedError
	switch {
	case errors.As(err, &locked):
		rep.Verdict = Verdict{Decision: Defer, Reason: ReasonFrozen, Message: err.Error() + ": a roll-back never nests in another's lock"}
		return false, nil
	case isDecided(err):
		return true, nil
	case err != nil:
		return false, err
	}
	rep.Fenced = !o.Ended
	plan, again, err := r.decided(ctx, rep, permit, o)
	if err != nil || again {
		return again, errors.Join(err, r.release(ctx, permit.by, o.Sidecar.Operation))
	}
	return r.restore(ctx, rep, permit, plan)
}

// isDecided: somebody was faster, and there is nothing to undo any more.
func isDecided(err error) bool {
	_, decided := manifest.AsDecided(err)
	return decided || isTrimmed(err)
}

// preview says what would be undone, and whether this authority may do it.
func (rep *Report) preview(o *Observation, a Authority) (err error) {
	if rep.Verdict.Decision != RollBack {
		return nil
	}
	ex, able := a.(Exclusive)
	if o.Outcome == nil {
		rep.Plan = planOf(o, Classify(o))
		if rep.PlanHash, err = rep.Plan.Hash(); err != nil {
			return err
		}
	}
	rep.NeedsApproval = !able || o.Outcome == nil && !ex.allows(rep.PlanHash) || ex.Policy != OnApproval && ex.Policy != Automatic
	return nil
}

// decided returns the plan to follow, after the manifest says that it is to be
// followed. again: under the lock the operation looked different.
func (r *Recoverer) decided(ctx context.Context, rep *Report, permit *Permit, o *Observation) (_ *Plan, again bool, err error) {
	s := o.Sidecar
	under, err := r.observe(ctx, s, true)
	if err != nil {
		return nil, false, err
	}
	c := Classify(under)
	v := Decide(under, c, permit.ex)
	if v.Decision != RollBack {
		return nil, true, nil
	}
	if under.Outcome != nil { // decided by one who did not end it
		plan, err := r.storedPlan(ctx, s.Operation, s.Attempt)
		if err != nil || plan == nil {
			return nil, false, errors.Join(err, fmt.Errorf("operation %s: its roll-back is decided and object %s is gone: restore it from a bucket version", s.Operation, PlanKey(s.Operation)))
		}
		rep.Plan = plan
		// A decision stands: whoever may undo anything in this store may end it.
		if permit.plan, err = plan.Hash(); err != nil {
			return nil, false, err
		}
		permit.ex.Approved, rep.PlanHash = permit.plan, permit.plan
		permit.approver, err = r.approver(ctx, under.Outcome)
		return plan, false, err
	}
	plan := planOf(under, c)
	hash, err := plan.Hash()
	if err != nil {
		return nil, false, err
	}
	if !permit.ex.allows(hash) { // the state is another than what was approved
		return nil, true, nil
	}
	if plan, err = r.storePlan(ctx, plan); err != nil {
		return nil, false, err
	}
	failpoint.Here(failpoint.RecoveryPlanned)
	if permit.plan, err = plan.Hash(); err != nil {
		return nil, false, err
	}
	if permit.ex.Policy == OnApproval {
		permit.approver = permit.ex.Approver
	}
	rep.Plan, rep.PlanHash = plan, permit.plan
	if err := permit.Check(ctx); err != nil {
		return nil, false, err
	}
	_, err = r.publishAs(ctx, permit.by, manifest.Entry{
		Kind: manifest.KindRollBack, Operation: s.Operation, Writer: s.Writer, Epoch: s.Epoch, Base: s.Base,
		OutcomeID: s.Outcomes.RollBack, Reason: string(plan.Reason), Approver: permit.approver, LockOwner: permit.lock,
	})
	if _, decided := manifest.AsDecided(err); decided {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("decide the roll-back of operation %s: %w", s.Operation, err)
	}
	failpoint.Here(failpoint.RecoveryRollBackDecided)
	return plan, false, nil
}

// approver is who approved the roll-back that the manifest decided.
func (r *Recoverer) approver(ctx context.Context, o *manifest.Outcome) (string, error) {
	b, err := r.m.Batch(ctx, o.Version)
	if err != nil {
		return "", err
	}
	for _, e := range b.Entries {
		if e.Kind == manifest.KindRollBack && e.Operation == o.Operation {
			return e.Approver, nil
		}
	}
	return "", fmt.Errorf("publication %d holds no roll-back of operation %s", o.Version, o.Operation)
}

// restore carries the plan out and ends the roll-back. Each restore is found again
// by its identity: doing it twice does it once.
func (r *Recoverer) restore(ctx context.Context, rep *Report, permit *Permit, plan *Plan) (again bool, err error) {
	s := permit.s
	entry := manifest.Entry{Kind: manifest.KindRestore, Operation: s.Operation, Writer: s.Writer, Epoch: s.Epoch, Base: s.Base, OutcomeID: s.Outcomes.RollBack, Reason: string(plan.Reason), Approver: permit.approver, LockOwner: permit.lock}
	for _, t := range plan.Tables {
		if err := permit.Check(ctx); err != nil {
			return false, err
		}
		pin, err := r.opt.Formats[s.Kind].Restore(ctx, permit, Restore{
			Table: t.Table, Above: t.Above, Undo: s.Operation, Identity: plan.Identity, Pin: t.Pin,
		})
		var buried *BuriedError
		if errors.As(err, &buried) {
			if err := permit.Check(ctx); err != nil { // it is another's by now, and may have ended
				return false, err
			}
			rep.Verdict = Verdict{Decision: Refuse, Reason: ReasonBuried, Message: err.Error()}
			return false, r.release(ctx, permit.by, s.Operation)
		}
		if err != nil {
			return false, fmt.Errorf("restore table %s: %w", t.Table, err)
		}
		if pin.IsZero() {
			continue
		}
		failpoint.Here(failpoint.RecoveryPartlyRestored)
		change := manifest.Change{Table: t.Table, Undone: t.Head, Expected: t.Pin.Ref}
		if !t.Pin.IsZero() {
			change.To = &pin
		}
		entry.Tables = append(entry.Tables, change)
	}
	failpoint.Here(failpoint.RecoveryRestored)
	if err := permit.Check(ctx); err != nil {
		return false, err
	}
	if _, err := r.known(ctx); err != nil {
		return false, err
	}
	_, err = r.publishAs(ctx, permit.by, entry)
	if manifest.IsMismatch(err) {
		rep.Verdict = Verdict{Decision: Refuse, Reason: ReasonBuried, Message: err.Error() + ": it was published while it was being undone"}
		return false, r.release(ctx, permit.by, s.Operation)
	}
	if err != nil {
		return false, fmt.Errorf("end the roll-back of operation %s: %w", s.Operation, err)
	}
	failpoint.Here(failpoint.RecoveryPublished)
	return true, nil // what is left is what anybody may do: converge
}
