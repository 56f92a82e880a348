// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// Operation is what a writer wants to become visible in one step.
type Operation struct {
	Kind    WriterKind
	Changes []Change
}

// Change is one table's part of an operation.
type Change struct {
	Table manifest.TableID
	// Drop removes the table; Write is not called.
	Drop bool
	// Head is the table's newest version, where readers follow it and it is not the one
	// that the manifest names.
	Head manifest.Ref
	// Position of the writer's log that the new version covers.
	Position manifest.Position
	// Write makes the new version durable under v.Object, by a put if absent whose
	// object begins with an envelope header line, and returns the digest in that
	// line. The name carries the operation: Exists is always the own object.
	Write func(ctx context.Context, v TableVersion) (digest string, err error)
}

// TableVersion is the version that Write has to make.
type TableVersion struct {
	Table     manifest.TableID
	Number    uint64
	Object    string
	Operation manifest.OperationID
	Epoch     manifest.Epoch
	Parent    manifest.Ref
}

// Result is what became of a published operation.
type Result struct {
	Operation manifest.OperationID
	// Version is the publication that made it visible.
	Version manifest.Version
	// ByRecovery: a recoverer published it; its sidecar stays for its audit.
	ByRecovery bool
}

// Commit takes one operation through arm, apply, confirm, publish and delete.
//
// A nil error means: published, visible, for good. Otherwise: *RequiredError
// (a pending operation holds a table; nothing was armed), *manifest.LockedError
// (somebody holds the store; nothing was armed), manifest.ErrFenced
// before arming (register again, nothing was armed), ErrFailed (decided: never
// visible), manifest.ErrUnknown (the outcome could not be told in time; the
// sidecar stays, and Result.Operation names the operation to ask about), or the
// failure of a request before anything was armed.
func (w *Writer) Commit(ctx context.Context, op Operation) (Result, error) {
	s, err := w.plan(ctx, op)
	if err != nil {
		return Result{}, err
	}
	r := Result{Operation: s.Operation}
	w.mark(s.Operation, true, false)
	armed, err := w.arm(ctx, s)
	if err != nil || !armed {
		// What cannot be told may still land: recovery may take it.
		w.mark(s.Operation, false, errors.Is(err, manifest.ErrUnknown))
		return r, err
	}
	failpoint.Here(failpoint.WriterArmed)
	version, byRecovery, err := w.walk(ctx, s, op)
	r.Version, r.ByRecovery = version, byRecovery
	return r, err
}

// plan resolves or refuses pending sidecars, reads the manifest and mints ids.
// Everything that can refuse refuses here, before the intent is written.
func (w *Writer) plan(ctx context.Context, op Operation) (*Sidecar, error) {
	tables := make([]manifest.TableID, len(op.Changes))
	for i, c := range op.Changes {
		tables[i] = c.Table
	}
	if TraitsOf(op.Kind).Mode == ModeInvalid {
		return nil, fmt.Errorf("operation kind %q is not known to this salvor", op.Kind)
	}
	epoch := w.Epoch()
	if epoch.IsZero() {
		return nil, ErrNotRegistered
	}
	st, err := w.m.Latest(ctx)
	if err != nil {
		return nil, err
	}
	if actual := st.Writers[w.opt.ID]; actual != epoch {
		return nil, &manifest.FencedError{Writer: w.opt.ID, Epoch: epoch, Actual: actual}
	}
	if st.Lock != nil { // what begins now may not publish; is it over?
		over, err := w.m.Expire(ctx, w.publisher(epoch))
		if err != nil {
			return nil, err
		}
		if st = over.State; st.Lock != nil {
			return nil, &manifest.LockedError{Lock: *st.Lock}
		}
	}
	required, err := w.pending(ctx, "", tables)
	if err != nil {
		return nil, err
	}
	if required != nil {
		return nil, required
	}
	s := &Sidecar{
		Store: w.m.Identity().UID, Operation: manifest.OperationID(w.opt.NewID()), Attempt: w.opt.NewID(),
		Writer: w.opt.ID, Epoch: epoch, Kind: op.Kind, Base: st.Version, Started: w.opt.Now().UTC(), Level: st.Level(),
		Outcomes: OutcomeIDs{Publish: w.opt.NewID(), Abandon: w.opt.NewID(), RollBack: w.opt.NewID()},
	}
	for _, c := range op.Changes {
		p := TablePlan{Table: c.Table, Expected: st.Ref(c.Table), Head: c.Head, Drop: c.Drop, Position: c.Position}
		if !c.Drop {
			p.Number = p.Above().Number + 1
		}
		s.Tables = append(s.Tables, p)
	}
	return s, s.Validate()
}

// arm writes the sidecar. An id is armed once: what is not certain is given up.
func (w *Writer) arm(ctx context.Context, s *Sidecar) (bool, error) {
	raw, err := EncodeSidecar(s)
	if err != nil {
		return false, err
	}
	own, _, err := objstore.Settle(ctx, w.b, SidecarKey(s.Operation), raw, s.Attempt, w.patience())
	if err != nil {
		return false, fmt.Errorf("arm: %w", err)
	}
	if !own {
		return false, fmt.Errorf("arm: operation id %s is spent: %w", s.Operation, ErrFailed)
	}
	return true, nil
}

// walk is everything after Arm.
func (w *Writer) walk(ctx context.Context, s *Sidecar, op Operation) (manifest.Version, bool, error) {
	if err := w.recheck(ctx, s); err != nil {
		return w.withdraw(ctx, s, err, false)
	}
	confirmed := &Confirmed{Store: s.Store, Operation: s.Operation, Attempt: s.Attempt}
	for i, c := range op.Changes {
		if c.Drop {
			continue
		}
		p := s.Tables[i]
		digest, err := c.Write(ctx, TableVersion{
			Table: p.Table, Number: p.Number, Object: p.Object(s.Operation),
			Operation: s.Operation, Epoch: s.Epoch, Parent: p.Expected,
		})
		if err != nil {
			return w.retreat(ctx, s, fmt.Errorf("apply table %s: %w", p.Table, err), false)
		}
		confirmed.Tables = append(confirmed.Tables, Reached{Table: p.Table, Number: p.Number, Digest: digest})
		if i == 0 && len(op.Changes) > 1 {
			failpoint.Here(failpoint.WriterPartlyApplied)
		}
	}
	failpoint.Here(failpoint.WriterApplied)
	raw, err := EncodeConfirmed(confirmed, s.Level)
	if err != nil {
		return w.retreat(ctx, s, err, false)
	}
	own, _, err := objstore.Settle(ctx, w.b, ConfirmedKey(s.Operation), raw, s.Attempt, w.patience())
	if err == nil && !own {
		err = errors.New("the confirmation holds other bytes")
	}
	if err != nil {
		return w.retreat(ctx, s, fmt.Errorf("confirm: %w", err), false)
	}
	failpoint.Here(failpoint.WriterConfirmed)
	return w.publish(ctx, s, confirmed)
}

// recheck looks again after Arm, since two writers may have passed the first
// look together. An error is the reason to withdraw; nothing is applied yet.
func (w *Writer) recheck(ctx context.Context, s *Sidecar) error {
	tables := make([]manifest.TableID, len(s.Tables))
	for i, t := range s.Tables {
		tables[i] = t.Table
	}
	required, err := w.pending(ctx, s.Operation, tables)
	if err != nil {
		return err
	}
	if required != nil {
		return required
	}
	st, err := w.m.Latest(ctx)
	if err != nil {
		return err
	}
	if actual := st.Writers[s.Writer]; actual != s.Epoch {
		// A successor may have looked for what pends before this Arm landed, and build
		// on the pins that it saw: what it did not see must never be confirmed.
		return &manifest.FencedError{Writer: s.Writer, Epoch: s.Epoch, Actual: actual}
	}
	for _, t := range s.Tables {
		if actual := st.Ref(t.Table); actual != t.Expected {
			return &manifest.ExpectedVersionMismatch{Table: t.Table, Expected: t.Expected, Actual: actual}
		}
	}
	if s.Base < st.Announced {
		return fmt.Errorf("armed at manifest %d, below the announced low-water %d", s.Base, st.Announced)
	}
	return nil
}

func (w *Writer) patience() objstore.Patience {
	return objstore.Patience{Bound: w.opt.Await, Now: w.opt.Now, Sleep: w.opt.Sleep}
}
