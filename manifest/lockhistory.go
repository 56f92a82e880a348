// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"time"
)

// Date asks object storage what time it is. A lock ends by this clock alone; for
// file:// and memory it is the host's.
func (s *Store) Date(ctx context.Context) (time.Time, error) {
	if err := s.askDate(ctx); err != nil {
		return time.Time{}, err
	}
	return s.bucket.date(), nil
}

// FindLock looks for the lock of owner in the publications behind a version, up to
// the newest one that is known here: the version at which it was taken (0: it was
// not), and how it ended (nil: it was not taken, or is held). It reads each of them;
// one that was collected is objstore.ErrNotFound.
func (s *Store) FindLock(ctx context.Context, owner string, after Version) (taken Version, ended *EndedLock, err error) {
	for v := after + 1; v <= s.View().Version; v++ {
		b, err := s.Batch(ctx, v)
		if err != nil {
			return 0, nil, err
		}
		for i := range b.Entries {
			switch e := &b.Entries[i]; {
			case e.Kind == KindLock && e.Lock != nil && e.Lock.Owner == owner && taken == 0:
				taken = v
			case taken == 0 || ended != nil:
			case e.Kind == KindRelease && e.Lock != nil && e.Lock.Owner == owner,
				e.Kind == KindExpire && e.LockOwner == owner,
				e.Kind == KindAdopt:
				ended = &EndedLock{Owner: owner, How: e.Kind, Version: v}
			}
		}
	}
	return taken, ended, nil
}
