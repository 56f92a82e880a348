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
	Ended  bool
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
}

// observe reads the confirmation, then the manifest, then the tables: read the
// other way round, a publication in between would look like a pin without its
// version. ask: the newest manifest is asked for; otherwise the one that is
// remembered will do, read on to the version that the sidecar is from.
func observe(ctx context.Context, m *manifest.Store, s *Sidecar, ask bool) (*Observation, error) {
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
		Known: st.Knows(s.Base), Ended: st.Ended(s.Writer, s.Epoch),
	}
	if out, ok := st.Outcome(s.Operation); ok {
		o.Outcome = &out
		return o, nil // decided: what is in the tables no longer matters
	}
	for _, p := range s.Tables {
		t := TableObservation{Plan: p, Pin: st.Ref(p.Table)}
		if !p.Drop {
			if err := t.look(ctx, m.Bucket(), s.Operation); err != nil {
				return nil, err
			}
		}
		o.Tables = append(o.Tables, t)
	}
	return o, nil
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
