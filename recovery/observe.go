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

// Observation is everything that Classify and Decide look at: values, no handles.
type Observation struct {
	Sidecar   *Sidecar
	Confirmed *Confirmed // nil: the operation was not confirmed when we looked
	// ForeignStore: the sidecar was written for another store.
	ForeignStore bool
	// Version of the manifest that was read, before the tables.
	Version manifest.Version
	// Outcome is the entry that decided the operation; nil if none is known.
	Outcome *manifest.Outcome
	// Known: the manifest's list reaches back to the operation's base, so a nil
	// Outcome means undecided.
	Known bool
	// Ended: the epoch under which the operation was armed is over.
	Ended bool
	// NoFormat: the tables' own format is not known here; Tables is empty.
	NoFormat bool

	// Lock that holds the store, and Rivals: other operations that pend on one of the
	// tables. Only a person's word depends on them; nobody else looks.
	Lock   *manifest.Lock
	Rivals []Rival

	pins   map[manifest.TableID]manifest.Pin // that the manifest names: the content to restore
	Tables []TableObservation
}

// TableObservation is what was found of one table.
type TableObservation struct {
	Plan TablePlan
	// Pin that the manifest names now.
	Pin manifest.Ref
	// Present: the version that the plan names is there. Digest is from its first line.
	Present bool
	Digest  string
	// Damaged says why a present version cannot be what the writer wrote.
	Damaged string
	// The rest is of tables with readers of their own. Head is the newest version and
	// who made it; Above are those above the one that the plan started from, oldest
	// first; Ownership says whose they are.
	Head      manifest.Ref
	Above     []manifest.Ref
	Ownership Ownership
	// Gone: readers see no table, although there are versions.
	Gone bool
	// Rival is another's operation among those above that is not finished: a sidecar
	// says so. What it has done is neither foreign nor to be judged yet.
	Rival manifest.OperationID
}

// applied: something of the operation is in the table, or there is nothing to make.
func (t TableObservation) applied() bool {
	return t.Present || t.Plan.Drop || t.Ownership == OwnsHead || t.Ownership == OwnsBuried
}

// observe reads the confirmation, then the manifest, then the tables: read the
// other way round, a publication in between would look like a pin without its
// version. ask: the newest manifest is asked for; otherwise the one that is
// remembered will do, read on to the version that the sidecar is from.
func (r *Recoverer) observe(ctx context.Context, s *Sidecar, ask bool) (*Observation, error) {
	m := r.m
	c, err := getConfirmed(ctx, m.Bucket(), s)
	if err != nil {
		return nil, err
	}
	through := max(s.Base, 1)
	if ask {
		through = 0
	}
	st, err := m.Through(ctx, through)
	if err != nil {
		return nil, err
	}
	o := &Observation{
		Sidecar: s, Confirmed: c, ForeignStore: s.Store != st.Store, Version: st.Version,
		Known: st.Knows(s.Base), Ended: st.Ended(s.Writer, s.Epoch), pins: st.Tables,
	}
	if out, ok := st.Outcome(s.Operation); ok {
		o.Outcome = &out
		return o, nil // decided: what is in the tables no longer matters
	}
	var format Format
	if TraitsOf(s.Kind).Visible {
		if format = r.opt.Formats[s.Kind]; format == nil {
			o.NoFormat = true
			return o, nil
		}
	}
	for _, p := range s.Tables {
		t := TableObservation{Plan: p, Pin: st.Ref(p.Table)}
		if format != nil {
			if t, err = format.Look(ctx, s, p); err != nil {
				return nil, fmt.Errorf("look at table %s: %w", p.Table, err)
			}
			t.Plan, t.Pin = p, st.Ref(p.Table)
			if t.Ownership == OwnershipNotLooked && t.Damaged == "" {
				t.Ownership = Owner(s, t.Above)
			}
			t.Present = t.Ownership == OwnsHead
			if err := r.rival(ctx, s, &t); err != nil {
				return nil, err
			}
			o.Tables = append(o.Tables, t)
			continue
		}
		if !p.Drop {
			if err := t.look(ctx, m.Bucket(), s.Operation); err != nil {
				return nil, err
			}
		}
		o.Tables = append(o.Tables, t)
	}
	return o, nil
}

// mostRivals bounds how many pending operations are read to find a rival.
const mostRivals = 1000

// rival looks for an unfinished operation whose version, or whose undoing, lies above
// the version that this one started from.
func (r *Recoverer) rival(ctx context.Context, s *Sidecar, t *TableObservation) error {
	if t.Ownership != OwnsForeign && t.Ownership != OwnsBuried {
		return nil
	}
	listed, err := List(ctx, r.b)
	if err != nil {
		return err
	}
	for _, l := range listed[:min(len(listed), mostRivals)] {
		if l.Lone || l.Operation() == s.Operation {
			continue
		}
		other, err := Get(ctx, r.b, l.Key)
		switch {
		case errors.Is(err, objstore.ErrNotFound), IsUnreadable(err):
			continue
		case err != nil:
			return fmt.Errorf("read sidecar %s: %w", l.Key, err)
		}
		for _, ref := range t.Above {
			if ref.Operation == other.Operation || string(ref.Operation) == other.Outcomes.RollBack {
				t.Rival = other.Operation
				return nil
			}
		}
	}
	return nil
}

// look reads the first line of the planned version, however large it is.
func (t *TableObservation) look(ctx context.Context, b objstore.Bucket, op manifest.OperationID) error {
	key := t.Plan.Object(op)
	raw, err := b.GetRange(ctx, key, 0, envelope.HeaderMax)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at table version: %w", err)
	}
	t.Present = true
	h, _, err := envelope.ParseHeader(raw)
	if err != nil {
		t.Damaged = fmt.Sprintf("object %s: %v", key, err)
		return nil
	}
	t.Digest = h.Digest
	return nil
}
