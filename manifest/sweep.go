// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
)

// tables deletes the table versions that nobody names.
func (c *collection) tables(ctx context.Context) error {
	var listed []objstore.Entry
	for e, err := range c.s.bucket.List(ctx, TablePrefix, "") {
		if err != nil {
			return fmt.Errorf("list table versions: %w", err)
		}
		listed = append(listed, e)
	}
	pending, err := c.opt.Pending(ctx)
	if err != nil {
		return err
	}
	unfinished := map[OperationID]bool{}
	for _, p := range pending {
		unfinished[p.Operation] = true
	}
	named, err := c.named(ctx)
	if err != nil {
		return err
	}
	for _, e := range listed {
		version, op, ok := VersionKey(e.Key)
		switch {
		case !ok:
			c.Foreign = append(c.Foreign, e.Key)
			continue
		case unfinished[op] || named[version]:
			continue
		}
		if err := c.remove(ctx, e.Key); err != nil {
			return err
		}
		if c.Bytes += e.Size; version == e.Key {
			c.Versions++
		}
	}
	return nil
}

// named returns the table versions that some kept version of the manifest names.
func (c *collection) named(ctx context.Context) (map[string]bool, error) {
	st := c.s.origin()
	if c.Keep > 1 {
		var err error
		if st, err = c.s.readCheckpoint(ctx, c.Keep-1); err != nil {
			return nil, c.unlessOvertaken(ctx, c.Keep-1, err)
		}
	}
	named := map[string]bool{}
	for t, p := range st.Tables {
		named[TableKey(t, p.Number, p.Operation)] = true
	}
	for v := st.Version + 1; ; v++ {
		b, digest, err := c.s.read(ctx, v)
		if gone(err) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, e := range b.Entries {
			for _, change := range e.Tables {
				if to := change.To; (e.Kind == KindPublish || e.Kind == KindRestore) && to != nil {
					named[TableKey(change.Table, to.Number, to.Operation)] = true
				}
			}
		}
		if st, err = Apply(st, b, digest); err != nil {
			return nil, err
		}
	}
	// The end of the line was read, unless it was collected under us.
	switch collected, err := c.s.collected(ctx, st.Version+1); {
	case err != nil:
		return nil, err
	case collected:
		return nil, fmt.Errorf("another collection passed version %d: %w", st.Version, ErrContention)
	case st.Version < c.Newest:
		return nil, &ObjectError{
			Key: Key(st.Version + 1), Err: objstore.ErrNotFound,
			Hint: "the line has a gap: restore this object from a copy or an older bucket version; nothing is collected until then",
		}
	}
	return named, nil
}

// unlessOvertaken returns why, or ErrContention when the checkpoint went meanwhile, with
// its parts: it was there, whole, when this collection began.
func (c *collection) unlessOvertaken(ctx context.Context, v Version, why error) error {
	err := why
	if !gone(err) { // a part is not there: is the checkpoint?
		_, err = c.s.bucket.Get(ctx, CheckpointKey(v))
	}
	switch {
	case gone(err):
		return fmt.Errorf("another collection deleted checkpoint %d: %w", v, ErrContention)
	case err == nil || errors.Is(err, objstore.ErrTooLarge):
		return why
	}
	return fmt.Errorf("whether checkpoint %d is there is not known (%s): %w", v, why.Error(), err)
}

// history deletes publications, checkpoints, boundaries and leases that are over.
func (c *collection) history(ctx context.Context) error {
	for e, err := range c.s.bucket.List(ctx, Prefix, "") {
		if err != nil {
			return fmt.Errorf("list publications: %w", err)
		}
		if e.Key >= Key(c.Keep) {
			break
		}
		if err := c.remove(ctx, e.Key); err != nil {
			return err
		}
		c.Publications++
	}
	for _, v := range c.checkpoints {
		if v+1 >= c.Keep {
			break
		}
		if err := c.remove(ctx, CheckpointKey(v)); err != nil {
			return err
		}
		c.Checkpoints++
	}
	if err := c.parts(ctx); err != nil {
		return err
	}
	spent, err := c.s.numbers(ctx, BoundaryPrefix)
	if err != nil {
		return err
	}
	for i, v := range spent {
		if i+1 < len(spent) { // the newest one holds
			if err := c.remove(ctx, BoundaryKey(v)); err != nil {
				return err
			}
			c.Others++
		}
	}
	for _, r := range c.readers {
		if r.Expired {
			if err := c.remove(ctx, r.Key); err != nil {
				return err
			}
			c.Others++
		}
	}
	return nil
}

// parts deletes the parts of checkpoints that are gone, and those that a publisher
// left that died before it named them. A part belongs to one number.
func (c *collection) parts(ctx context.Context) error {
	for e, err := range c.s.bucket.List(ctx, PartPrefix, "") {
		if err != nil {
			return fmt.Errorf("list parts of checkpoints: %w", err)
		}
		if e.Key >= PartKey(c.Keep-1, "") {
			return nil
		}
		if err := c.remove(ctx, e.Key); err != nil {
			return err
		}
		c.Others++
	}
	return nil
}

func (c *collection) remove(ctx context.Context, key string) error {
	if c.opt.Progress != nil {
		c.opt.Progress(c.Collected)
	}
	if c.opt.DryRun {
		return nil
	}
	if err := c.s.bucket.Delete(ctx, key); err != nil {
		return fmt.Errorf("collect %s: %w", key, err)
	}
	return nil
}
