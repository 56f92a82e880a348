// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// KeepOutcomes is how many recent outcomes a manifest keeps at least.
const KeepOutcomes = 1024

// Trim drops outcomes that nobody can ask for any more, when there are twice
// keep of them. The order is the protocol: the new low-water is announced, then
// sidecars are listed, then ids are dropped, and never past the oldest base
// listed. A writer that armed before the announcement is in the list; one that
// arms after it sees the announcement and withdraws.
func (r *Recoverer) Trim(ctx context.Context, keep int) error {
	st, err := r.m.Latest(ctx)
	if err != nil || len(st.Outcomes) < max(2*keep, 1) {
		return err
	}
	low := st.Outcomes[len(st.Outcomes)-keep-1].Version
	if _, err := r.m.Publish(ctx, manifest.Publication{
		By: r.publisher(), Entries: []manifest.Entry{{Kind: manifest.KindAnnounce, LowWater: low}},
	}); err != nil {
		return err
	}
	listed, err := List(ctx, r.b)
	if err != nil {
		return err
	}
	for _, l := range listed {
		if l.Lone {
			continue
		}
		s, err := Get(ctx, r.b, l.Key)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			continue // its owner finished
		case IsUnreadable(err):
			return nil // its base is unknown: nothing can be trimmed safely
		case err != nil:
			return err
		}
		low = min(low, s.Base)
	}
	_, err = r.m.Publish(ctx, manifest.Publication{
		By: r.publisher(), Entries: []manifest.Entry{{Kind: manifest.KindTrim, LowWater: low}},
	})
	return err
}
