// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"
)

// Register gives writer w a new epoch for process p, which ends the epoch of
// whatever ran under this id before. held is the epoch that p had until now;
// zero for a fresh process.
//
// A process that was fenced registers again. One that was superseded by another
// process's registration gets ErrSuperseded and exits: two that took turns
// would never get anything done.
func (s *Store) Register(ctx context.Context, w WriterID, p ProcessID, held Epoch) (Epoch, error) {
	if err := errors.Join(w.Validate(), p.Validate()); err != nil {
		return Epoch{}, err
	}
	for try := 0; try <= s.opt.Rebase; try++ {
		st, err := s.Latest(ctx)
		if err != nil {
			return Epoch{}, err
		}
		cur := st.Writers[w]
		if cur.Process == p {
			return cur, nil // it stands, or a lost answer had landed after all
		}
		if !held.IsZero() && !cur.Fenced() {
			return Epoch{}, fmt.Errorf("writer %s, process %s: %w (%s)", w, p, ErrSuperseded, cur)
		}
		next := Epoch{Number: cur.Number + 1, Process: p}
		_, err = s.Publish(ctx, Publication{
			By:      Publisher{Role: RoleWriter, Process: p, Writer: w, Epoch: next},
			Entries: []Entry{{Kind: KindRegister, Writer: w, Epoch: next}},
		})
		switch {
		case err == nil:
			return next, nil
		case errors.Is(err, ErrFenced): // the epoch moved under us: look again
		default:
			return Epoch{}, fmt.Errorf("register writer %s: %w", w, err)
		}
	}
	return Epoch{}, fmt.Errorf("register writer %s: %w", w, ErrContention)
}

// Fence returns the entry that ends the epoch named, and no other.
func Fence(w WriterID, ends Epoch) Entry { return Entry{Kind: KindFence, Writer: w, Epoch: ends} }

// Claim makes c the root's claimant, unless somebody is: then *IdentityError.
// Claiming again what one has is success.
func (s *Store) Claim(ctx context.Context, by Publisher, c Claimant) error {
	_, err := s.Publish(ctx, Publication{By: by, Entries: []Entry{{Kind: KindClaim, Claimant: &c}}})
	return err
}

// Adopt takes over a root that was restored or moved: it ends every epoch, so
// that nothing of before can publish, and makes c the claimant. The root must be
// at version expect: what the caller looked at is what is adopted.
func (s *Store) Adopt(ctx context.Context, by Publisher, c Claimant, expect Version) (Published, error) {
	return s.Publish(ctx, Publication{By: by, Entries: []Entry{{Kind: KindAdopt, Claimant: &c, Base: expect, Reason: "adopt"}}})
}

func adoptError(at, expect Version) *IdentityError {
	return &IdentityError{
		Why:  fmt.Sprintf("the root is at version %d, not %d", at, expect),
		Hint: "look again with `salvor manifest show`, stop the writers, and adopt the version that you saw",
	}
}
