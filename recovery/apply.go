// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
)

// apply carries a verdict out. again: somebody was faster, observe again.
func (r *Recoverer) apply(ctx context.Context, rep *Report, o *Observation, a Authority) (again bool, err error) {
	if p, looks := a.(Probe); looks {
		return false, rep.preview(o, p.As)
	}
	switch rep.Verdict.Decision {
	case RollForward, Abandon:
		return r.decide(ctx, rep, o, rep.Verdict.approver(a))
	case Converge:
		at := max(o.Outcome.Version, o.Outcome.Restored)
		b, err := r.m.Batch(ctx, at)
		if err != nil {
			return false, err
		}
		return false, r.finish(ctx, rep, b)
	case Discard:
		return r.discard(ctx, rep, o)
	case RollBack:
		return r.rollBack(ctx, rep, o, a)
	default: // Defer, Refuse: the report is all there is to do
		return false, nil
	}
}

// decide publishes the outcome entry, ending the operation's epoch in the same
// object where it is not ended. approver is whose word it rests on, if on anybody's.
func (r *Recoverer) decide(ctx context.Context, rep *Report, o *Observation, approver string) (again bool, err error) {
	entry := abandonEntry(o.Sidecar, string(rep.Verdict.Reason))
	if rep.Verdict.Decision == RollForward {
		entry = forwardEntry(o, string(rep.Verdict.Reason))
	}
	entry.Approver = approver
	entries := []manifest.Entry{entry}
	if !o.Ended {
		entries = []manifest.Entry{manifest.Fence(o.Sidecar.Writer, o.Sidecar.Epoch), entry}
	}
	if _, err := r.known(ctx); err != nil {
		return false, err
	}
	pub, err := r.publish(ctx, entries...)
	if _, decided := manifest.AsDecided(err); decided || manifest.IsMismatch(err) || isTrimmed(err) || errors.Is(err, manifest.ErrWriterLive) {
		return true, nil
	}
	var locked *manifest.LockedError
	if errors.As(err, &locked) {
		rep.Verdict = Verdict{Defer, ReasonFrozen, err.Error()}
		return false, nil
	}
	if errors.Is(err, manifest.ErrContention) {
		rep.Verdict = Verdict{Defer, ReasonContention, err.Error()}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	failpoint.Here(failpoint.RecoveryPublished)
	for _, e := range pub.Batch.Entries {
		// Neighbours share the publication.
		rep.Fenced = rep.Fenced || e.Kind == manifest.KindFence && e.Writer == o.Sidecar.Writer
	}
	// The entry decides, not the memory of having written it.
	out, ok := pub.State.Outcome(o.Sidecar.Operation)
	if !ok {
		return false, fmt.Errorf("publication %d holds no outcome of operation %s", pub.Version, o.Sidecar.Operation)
	}
	rep.Outcome = &out
	return false, r.finish(ctx, rep, pub.Batch)
}

// finish records the outcome once and deletes the sidecar. b is the publication
// that decided the operation: the audit row copies its entry.
func (r *Recoverer) finish(ctx context.Context, rep *Report, b *manifest.Batch) error {
	row, err := r.row(rep.Sidecar, b)
	if err != nil {
		return err
	}
	done, err := r.trail.AppendOnce(ctx, row, audit.Head{Number: b.Head.Number, Hash: b.Head.Hash})
	if err != nil {
		return fmt.Errorf("audit operation %s: %w", rep.Operation, err)
	}
	failpoint.Here(failpoint.RecoveryAudited)
	rep.Row, rep.Head = &done.Row, done.Head
	r.learn(done.Head)
	return r.remove(ctx, rep)
}

// remove deletes what stands beside the sidecar and then the sidecar, under the name
// that was listed: a misnamed one must not stay for ever.
func (r *Recoverer) remove(ctx context.Context, rep *Report) error {
	keys := []string{ConfirmedKey(rep.Operation), rep.Key}
	if s := rep.Sidecar; s != nil && TraitsOf(s.Kind).Visible {
		if err := r.release(ctx, r.publisher(), rep.Operation); err != nil { // nobody undoes what is finished
			return fmt.Errorf("release the lock of the roll-back of operation %s: %w", rep.Operation, err)
		}
		keys = []string{ConfirmedKey(rep.Operation), PlanKey(rep.Operation), rep.Key}
	}
	if err := deleteSidecar(ctx, r.b, keys); err != nil {
		return err
	}
	rep.Complete = true
	return nil
}

// discard removes a sidecar that came back after its operation was finished and
// forgotten. Its epoch is ended first, so that nobody can still be working on it.
func (r *Recoverer) discard(ctx context.Context, rep *Report, o *Observation) (again bool, err error) {
	if !o.Ended {
		pub, err := r.publish(ctx, manifest.Fence(o.Sidecar.Writer, o.Sidecar.Epoch))
		if err != nil {
			return false, err
		}
		rep.Fenced = pub.Version != 0
		return true, nil // what was observed before the fence proves nothing
	}
	row, found, err := r.trail.Find(ctx, string(o.Sidecar.Operation), audit.Head{})
	if err != nil {
		return false, fmt.Errorf("look for the audit row of operation %s: %w", o.Sidecar.Operation, err)
	}
	if found {
		rep.Row = &row
	}
	return false, r.remove(ctx, rep)
}

func (r *Recoverer) publisher() manifest.Publisher {
	return manifest.Publisher{Role: manifest.RoleRecovery, Process: r.opt.Process}
}

// forwardEntry publishes exactly what was classified.
func forwardEntry(o *Observation, reason string) manifest.Entry {
	c := &Confirmed{}
	for _, t := range o.Tables {
		if !t.Plan.Drop {
			reached := Reached{Table: t.Plan.Table, Number: t.Plan.Number, Digest: t.Digest}
			if t.Ownership == OwnsHead {
				reached.Number = t.Head.Number
			}
			c.Tables = append(c.Tables, reached)
		}
	}
	e := publishEntry(o.Sidecar, c)
	e.Reason = reason
	return e
}

// row copies the entry of b that decided the operation of s.
func (r *Recoverer) row(s *Sidecar, b *manifest.Batch) (audit.Row, error) {
	for _, e := range b.Entries {
		if e.Operation != s.Operation {
			continue
		}
		row := audit.Row{
			Kind: audit.RolledBack, Operation: string(e.Operation), StoreUID: b.Store,
			Writer: string(e.Writer), WriterKind: string(s.Kind), Actor: r.opt.Actor,
			ManifestVersion: uint64(b.Number), PublishedBy: audit.ByWriter, Reason: e.Reason,
		}
		if b.By.Role == manifest.RoleRecovery {
			row.PublishedBy = audit.ByRecovery
		}
		if e.Kind == manifest.KindPublish {
			row.Kind = audit.RolledForward
		}
		if e.Approver != "" {
			row.Actor = e.Approver
		}
		for _, c := range e.Tables {
			row.Tables = append(row.Tables, tableChange(s, c))
		}
		return row, nil
	}
	return audit.Row{}, fmt.Errorf("publication %d holds no entry of operation %s", b.Number, s.Operation)
}

// tableChange says from which version to which; of what was rolled back, from the one
// that readers saw. The objects of formats with readers of their own have other names.
func tableChange(s *Sidecar, c manifest.Change) audit.TableChange {
	name := func(r manifest.Ref) string {
		switch {
		case r.IsZero():
			return ""
		case TraitsOf(s.Kind).Visible:
			return r.String()
		default:
			return manifest.TableKey(c.Table, r.Number, r.Operation)
		}
	}
	from, to := c.Expected, manifest.Ref{}
	if !c.Undone.IsZero() {
		from = c.Undone
	}
	if c.To != nil {
		to = c.To.Ref
	}
	return audit.TableChange{Table: string(c.Table), From: name(from), To: name(to)}
}

func isTrimmed(err error) bool {
	var t *manifest.TrimmedError
	return errors.As(err, &t)
}
