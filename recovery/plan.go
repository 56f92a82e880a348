// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

var planFormats = envelope.Formats{1}

const planKind = "plan"

// PlanKey returns the name of the plan of an operation's roll-back.
func PlanKey(op manifest.OperationID) string { return Prefix + string(op) + planSuffix }

// Plan is what a roll-back will do, and what it was seen to be for. It holds
// nothing that changes by itself: the same state has the same plan, whoever makes
// it, and another state has another. The first one that is stored as
// recovery/<op>.plan is the one that everybody follows.
type Plan struct {
	Store     string               `json:"store"`
	Operation manifest.OperationID `json:"operation"`
	Attempt   string               `json:"attempt"` // of the sidecar
	Writer    manifest.WriterID    `json:"writer"`
	Epoch     manifest.Epoch       `json:"epoch"`
	Kind      WriterKind           `json:"kind"`
	// Reason is why the operation cannot go forward.
	Reason Reason `json:"reason"`
	// Identity of the versions that undo it: the outcome id in the sidecar.
	Identity manifest.OperationID `json:"identity"`
	Tables   []PlannedRestore     `json:"tables"`
}

// PlannedRestore is one table's part of a plan.
type PlannedRestore struct {
	Table manifest.TableID `json:"table"`
	// Head is the newest version that was seen, Above the newest that is not the
	// operation's. They are the same where nothing was applied: then the restore takes
	// the planned number, so that a late effect finds it taken.
	Head  manifest.Ref `json:"head,omitzero"`
	Above manifest.Ref `json:"above,omitzero"`
	// Pin has the content to restore; zero: the table goes.
	Pin manifest.Pin `json:"pin,omitzero"`
}

// PlanHash names a plan by its bytes, "sha256:...". It is what a person approves.
type PlanHash string

// Hash returns the plan's name.
func (p *Plan) Hash() (PlanHash, error) {
	raw, err := encodePlan(p)
	return PlanHash(envelope.Digest(raw)), err
}

func encodePlan(p *Plan) ([]byte, error) {
	// What is approved does not depend on the store's format level.
	return envelope.Encode(planKind, planFormats.At(1), p)
}

// planOf makes the plan of what was observed. Tables that another operation moved
// hold nothing of this one and are left as they are.
func planOf(o *Observation, c Classification) *Plan {
	s := o.Sidecar
	p := &Plan{
		Store: s.Store, Operation: s.Operation, Attempt: s.Attempt, Writer: s.Writer, Epoch: s.Epoch, Kind: s.Kind,
		Reason: cause(c), Identity: manifest.OperationID(s.Outcomes.RollBack),
	}
	for i, t := range o.Tables {
		if t.Plan.Drop || c.Tables[i] == ClassMoved {
			continue
		}
		p.Tables = append(p.Tables, PlannedRestore{
			Table: t.Plan.Table, Head: t.Head, Above: t.Plan.Above(), Pin: o.pins[t.Plan.Table],
		})
	}
	return p
}

// cause is why an operation cannot go forward.
func cause(c Classification) Reason {
	switch c.Worst {
	case ClassMoved:
		return ReasonPinsMoved
	case ClassNotApplied:
		return ReasonIncomplete
	default:
		return ReasonNotConfirmed
	}
}

// storePlan makes p the plan that everybody follows, unless there is one: then it
// is that one.
func (r *Recoverer) storePlan(ctx context.Context, p *Plan) (*Plan, error) {
	raw, err := encodePlan(p)
	if err != nil {
		return nil, err
	}
	key := PlanKey(p.Operation)
	own, other, err := objstore.Settle(ctx, r.b, key, raw, p.Attempt, objstore.Patience{Now: r.opt.Now, Sleep: r.opt.Sleep})
	switch {
	case err != nil:
		return nil, fmt.Errorf("store the plan of operation %s: %w", p.Operation, err)
	case own:
		return p, nil
	case other.Key == "":
		return nil, fmt.Errorf("store the plan of operation %s: somebody else stored one and deleted it: %w", p.Operation, objstore.ErrUnknown)
	}
	return decodePlan(key, other.Body, p.Operation, p.Attempt)
}

// storedPlan reads the plan of an operation; nil if there is none.
func (r *Recoverer) storedPlan(ctx context.Context, op manifest.OperationID, attempt string) (*Plan, error) {
	key := PlanKey(op)
	o, err := r.b.Get(ctx, key)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	return decodePlan(key, o.Body, op, attempt)
}

func decodePlan(key string, raw []byte, op manifest.OperationID, attempt string) (*Plan, error) {
	var p Plan
	if _, err := envelope.Decode(planKind, planFormats.Newest(), raw, &p); err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	if p.Operation != op || p.Attempt != attempt {
		return nil, fmt.Errorf("object %s: %w: the plan is of another operation or attempt", key, envelope.ErrMalformed)
	}
	return &p, nil
}
