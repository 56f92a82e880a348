// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"slices"
)

// CollectedError says that a version cannot be read any more.
type CollectedError struct {
	Version Version
	// First is the oldest version that can be.
	First Version
}

// Error implements error.
func (e *CollectedError) Error() string {
	return fmt.Sprintf("version %d was collected: the oldest that can be read is %d", e.Version, e.First)
}

// At returns the state at version v: from the newest checkpoint that is not newer,
// and the publications after it. *CollectedError when those are gone.
func (s *Store) At(ctx context.Context, v Version) (*State, error) {
	if newest := s.View(); v == newest.Version {
		return newest, nil
	}
	have, err := s.numbers(ctx, CheckpointPrefix)
	if err != nil {
		return nil, err
	}
	st, first := s.origin(), Version(0)
	if bound, err := s.Boundary(ctx); err != nil {
		return nil, err
	} else if bound > 1 && len(have) > 0 {
		first = have[0]
	}
	if v < first {
		return nil, &CollectedError{Version: v, First: first}
	}
	for _, from := range slices.Backward(have) {
		if from > v {
			continue
		}
		found, err := s.readCheckpoint(ctx, from)
		if damaged(err) && from > first {
			continue // an older one reaches it too
		}
		if err != nil {
			return nil, err
		}
		st = found
		break
	}
	for st.Version < v {
		b, digest, err := s.read(ctx, st.Version+1)
		if gone(err) && st.Version+1 <= s.View().Version {
			return nil, &CollectedError{Version: v, First: first}
		}
		if err != nil {
			return nil, err
		}
		if st, err = Apply(st, b, digest); err != nil {
			return nil, err
		}
	}
	return st, nil
}
