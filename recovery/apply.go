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
func (r *Recoverer) apply(ctx context.Context, rep *Report, o *Observation) (again bool, err error) {
	switch rep.Verdict.Decision {
	case RollForward, Abandon:
		return r.decide(ctx, rep, o)
	case Converge:
		b, err := r.m.Batch(ctx, o.Outcome.Version)
		if err != nil {
			return false, err
		}
		return false, r.finish(ctx, rep, b)
	case Discard:
		return r.discard(ctx, rep, o)
	case RollBack:
		rep.NeedsApproval = true
		return false, nil
	default: // Defer, Refuse: the report is all there is to do
		return false, nil
	}
}

// decide publishes the outcome entry, ending the operation's epoch in the same
// object where it is not ended.
func (r *Recoverer) decide(ctx context.Context, rep *Report, o *Observation) (again bool, err error) {
	entry := abandonEntry(o.Sidecar, string(rep.Verdict.Reason))
	if rep.Verdict.Decision == RollForward {
		entry = forwardEntry(o, string(rep.Verdict.Reason))
	}
	entries := []manifest.Entry{entry}
	if !o.Ended {
		entries = []manifest.Entry{manifest.Fence(o.Sidecar.Writer, o.Sidecar.Epoch), entry}
	}
	head, err := r.known(ctx)
	if err != nil {
		return false, err
	}
	pub, err := r.m.Publish(ctx, manifest.Publication{By: r.publisher(), Entries: entries, Head: head})
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

// remove deletes the confirmation and then the sidecar, under the name that was
// listed: a misnamed one must not stay for ever.
func (r *Recoverer) remove(ctx context.Context, rep *Report) error {
	if err := deleteSidecar(ctx, r.b, []string{ConfirmedKey(rep.Operation), rep.Key}); err != nil {
		return err
	}
	rep.Complete = true
	return nil
}

// discard removes a sidecar that came back after its operation was finished and
// forgotten. Its epoch is ended first, so that nobody can still be working on it.
func (r *Recoverer) discard(ctx context.Context, rep *Report, o *Observation) (again bool, err error) {
	if !o.Ended {
		pub, err := r.m.Publish(ctx, manifest.Publication{
			By: r.publisher(), Entries: []manifest.Entry{manifest.Fence(o.Sidecar.Writer, o.Sidecar.Epoch)},
		})
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
			c.Tables = append(c.Tables, Reached{Table: t.Plan.Table, Number: t.Plan.Number, Digest: t.Digest})
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
			for _, c := range e.Tables {
				row.Tables = append(row.Tables, tableChange(c))
			}
		}
		return row, nil
	}
	return audit.Row{}, fmt.Errorf("publication %d holds no entry of operation %s", b.Number, s.Operation)
}

func tableChange(c manifest.Change) audit.TableChange {
	out := audit.TableChange{Table: string(c.Table)}
	if !c.Expected.IsZero() {
		out.From = manifest.TableKey(c.Table, c.Expected.Number, c.Expected.Operation)
	}
	if c.To != nil {
		out.To = manifest.TableKey(c.Table, c.To.Number, c.To.Operation)
	}
	return out
}

func isTrimmed(err error) bool {
	var t *manifest.TrimmedError
	return errors.As(err, &t)
}
