// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// Pass is how one goes through all that is listed.
type Pass struct {
	Authority Authority
	// Limit is how many operations are recovered at most; 0: all. An operation is
	// never recovered in part because of it.
	Limit int
	// AtOnce is how many are recovered at a time; they share publications, audit
	// objects and reading. Default 256.
	AtOnce int
}

// unit is one listed operation of a pass.
type unit struct {
	key     string
	sidecar *Sidecar        // nil: it could not be read; Recover says why
	behind  []chan struct{} // of the units before that share a table
	done    chan struct{}
	rep     Report
	err     error
}

// Go recovers what is listed and yields a report of each, in the order of base
// version and id, and stops at the first error. Operations that share a table are
// recovered one after the other in that order, each on what the one before left;
// others at the same time. left is how many the limit left for another pass: it is
// final when the sequence has ended.
func (p Pass) Go(ctx context.Context, r *Recoverer, listed []Listed) (_ iter.Seq2[Report, error], left int) {
	ctx, cancel := context.WithCancel(ctx)
	units := p.units(ctx, r, listed)
	if p.Limit > 0 && len(units) > p.Limit {
		left, units = len(units)-p.Limit, units[:p.Limit]
	}
	chain(units)
	return func(yield func(Report, error) bool) {
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		places := make(chan struct{}, p.atOnce())
		for _, u := range units {
			all.Go(func() {
				defer close(u.done)
				for _, before := range u.behind {
					<-before
				}
				select {
				case places <- struct{}{}:
					defer func() { <-places }()
				case <-ctx.Done():
					u.err = context.Cause(ctx)
					return
				}
				u.rep, u.err = r.RecoverRead(ctx, u.key, u.sidecar, p.Authority)
			})
		}
		for _, u := range units {
			<-u.done
			if !yield(u.rep, u.err) || u.err != nil {
				return
			}
		}
	}, left
}

func (p Pass) atOnce() int {
	if p.AtOnce <= 0 {
		return 256
	}
	return p.AtOnce
}

// units reads what is listed, at the same time, and puts it in order. What cannot be
// read comes first: nobody knows what it holds.
func (p Pass) units(ctx context.Context, r *Recoverer, listed []Listed) []*unit {
	units := make([]*unit, len(listed))
	places := make(chan struct{}, p.atOnce())
	var all sync.WaitGroup
	for i, l := range listed {
		u := &unit{key: l.Key, done: make(chan struct{})}
		units[i] = u
		if l.Lone {
			continue
		}
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			s, err := Get(ctx, r.b, u.key)
			if err == nil || !errors.Is(err, objstore.ErrNotFound) && !IsUnreadable(err) {
				u.sidecar = s // a failed read is tried again, and told, by Recover
			}
		})
	}
	all.Wait()
	slices.SortStableFunc(units, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(a.base(), b.base()), strings.Compare(a.key, b.key))
	})
	return units
}

func (u *unit) base() manifest.Version {
	if u.sidecar == nil {
		return 0
	}
	return u.sidecar.Base
}

// chain puts each unit behind those before it that share a table.
func chain(units []*unit) {
	last := map[manifest.TableID]*unit{}
	for _, u := range units {
		if u.sidecar == nil {
			continue
		}
		for _, t := range u.sidecar.Tables {
			if before := last[t.Table]; before != nil && !slices.Contains(u.behind, before.done) {
				u.behind = append(u.behind, before.done)
			}
			last[t.Table] = u
		}
	}
}
