// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/salvor-io/salvor/recovery"
)

// recover finishes or closes what ended epochs, and this process itself, have left
// pending in the root.
func (s *Store) recover(ctx context.Context, r *root) error {
	listed, err := recovery.List(ctx, r.manifest.Bucket())
	if err != nil {
		return err
	}
	for _, l := range listed {
		given := recovery.RollForwardOnly{EndEpoch: slices.Contains(r.writer.Abandoned(), l.Operation())}
		rep, err := r.recoverer.Recover(ctx, l.Key, given)
		switch {
		case err != nil:
			return fmt.Errorf("recover %s: %w", l.Key, err)
		case rep.Complete && !rep.Gone:
			s.opt.Report(fmt.Sprintf("recovered operation %s: %s: %s", rep.Operation, rep.Verdict.Decision, rep.Verdict.Message))
		case !rep.Complete && rep.Verdict.Decision != recovery.Defer:
			s.opt.Report(fmt.Sprintf("operation %s stays pending: %s: %s", rep.Operation, rep.Verdict.Decision, rep.Verdict.Message))
		}
	}
	return s.look(ctx, r)
}

// trim keeps the manifest's list of outcomes short where no operator does.
func (s *Store) trim(ctx context.Context, r *root) error {
	if r.recoverer == nil || len(r.manifest.View().Outcomes) < 2*recovery.KeepOutcomes {
		return nil
	}
	return r.recoverer.Trim(ctx, recovery.KeepOutcomes)
}
