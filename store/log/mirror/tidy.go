// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"fmt"

	"github.com/salvor-io/salvor/store/log"
)

// tidy keeps the mirror bounded: a snapshot takes the place of ranges when the
// checkpoints do not, and what nobody needs goes. In turn.
func (m *Mirror) tidy(ctx context.Context) error {
	s := m.newest(m.opt.Covered())
	most := m.opt.SnapshotAfter
	if n := len(m.shots); n > 0 {
		most += m.shots[n-1].bytes
	}
	if m.opt.Snapshot != nil && m.behind(s) > most {
		if err := m.snap(ctx); err != nil {
			return err
		}
		s = m.newest(m.opt.Covered())
	}
	if keys, bytes := m.garbage(s, m.opt.Writer, m.begin.Position); bytes < m.opt.CollectAfter && len(keys) <= maxGarbage {
		return nil
	}
	return m.clear(ctx)
}

// clear removes what nobody needs. In turn.
//
//	the state is read, and found good
//	is this epoch still the registered one?      a successor registers before it looks:
//	                                             one that comes after this finds the state
//	ranges, snapshots, litter, beginnings
func (m *Mirror) clear(ctx context.Context) error {
	s, err := m.prove(ctx)
	if err != nil {
		return err
	}
	m.request(1)
	if err := m.opt.Reigns(ctx); err != nil {
		return fmt.Errorf("nothing is removed from the mirror: %w", err)
	}
	keys, _ := m.garbage(s, m.opt.Writer, m.begin.Position)
	for _, key := range keys {
		m.request(1)
		if err := m.opt.Bucket.Delete(ctx, key); err != nil {
			return fmt.Errorf("remove from the mirror: %s: %w", key, err)
		}
		m.removed(key, m.opt.Writer)
	}
	return nil
}

// prove returns the newest state that was read, and found good. A snapshot that is not is
// forgotten; another one takes its place.
func (m *Mirror) prove(ctx context.Context) (state, error) {
	covered, err := m.opt.Proven(ctx)
	if err != nil {
		return state{}, err
	}
	for {
		s := m.newest(covered)
		if s.shot == nil || s.shot.proven {
			return s, nil
		}
		switch err := m.readBack(ctx, s.shot.name); {
		case err == nil:
			s.shot.proven = true
			return s, nil
		case !IsDefect(err):
			return s, err
		}
		m.litter = append(append(m.litter, s.shot.name.Key(m.opt.Writer)), s.shot.parts...)
		m.shots = m.shots[:len(m.shots)-1]
	}
}

// readBack reads a snapshot, whole.
func (m *Mirror) readBack(ctx context.Context, n SnapshotName) error {
	m.request(1)
	o, err := readSnapshot(ctx, m.opt.Bucket, m.opt.Store, m.opt.Writer, n)
	if err != nil {
		return err
	}
	m.request(len(o.Parts))
	return getParts(ctx, m.opt.Bucket, n.Key(m.opt.Writer), o.Parts, func([]byte) error { return nil })
}

// Settled returns the newest position up to which the state comes from the root alone:
// the newest state and every range behind it are read, once, and found good, and this
// epoch is the registered one, so that whoever comes next finds them. Up to there the
// local log may be cut. An error beside a position says what ends there.
func (m *Mirror) Settled(ctx context.Context) (log.Position, error) {
	m.turn.Lock()
	defer m.turn.Unlock()
	defer m.count()
	s, err := m.prove(ctx)
	if err != nil {
		return 0, err
	}
	at := s.at
	for i := range m.ranges {
		r := &m.ranges[i]
		if r.name.Last <= at {
			continue
		}
		if r.name.First > at+1 {
			err = &HoleError{Writer: m.opt.Writer, First: at + 1, Last: r.name.First - 1, Base: at, Near: r.name.Key(m.opt.Writer)}
			break
		}
		if !r.proven {
			m.request(1)
			if _, _, err = readRange(ctx, m.opt.Bucket, m.opt.Store, m.opt.Writer, r.name); err != nil {
				break
			}
			r.proven = true
		}
		at = r.name.Last
	}
	m.request(1)
	if rerr := m.opt.Reigns(ctx); rerr != nil {
		return 0, fmt.Errorf("nothing is cut off the log: %w", rerr)
	}
	return at, err
}
