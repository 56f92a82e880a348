// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"context"
	"io"
	"strings"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/store/log"
)

// Check is what Examine found of one writer's mirror.
type Check struct {
	Writer string `json:"writer"`
	// Epoch with which the history ends, and the position.
	Epoch uint64       `json:"epoch"`
	End   log.Position `json:"end"`
	// Base is the position with which a restore begins, Snapshot the object that has it;
	// empty: the checkpoints.
	Base     log.Position `json:"base"`
	Snapshot string       `json:"snapshot,omitempty"`
	// Ranges that a restore reads behind it.
	Ranges []string `json:"ranges"`
	// Others are objects that no restore needs: its writer removes them.
	Others int   `json:"others"`
	Bytes  int64 `json:"bytes"` // of everything
	// Strange are objects that no mirror has.
	Strange []string `json:"strange,omitempty"`
	// Problem is why the state at End does not come from the root: *ObjectError,
	// *HoleError. nil: it does.
	Problem error `json:"-"`
}

// Examine looks whether the root has the state at the end of a writer's mirror; covered
// is what its own checkpoints cover. deep reads every object that a restore reads; else
// only the first lines of ranges. It changes nothing. An error says that it could not
// look.
func Examine(ctx context.Context, b objstore.Bucket, store, writer string, covered log.Position, deep bool) (*Check, error) {
	inv, err := Look(ctx, b, store, writer)
	if err != nil {
		return nil, err
	}
	c := &Check{Writer: writer, Strange: inv.Strange, Ranges: []string{}, Others: len(inv.Ranges) + len(inv.Snapshots)}
	for _, n := range inv.Bytes {
		c.Bytes += n
	}
	h, err := Decide(inv)
	if err != nil {
		c.Problem = err
		return c, nil
	}
	c.Epoch, c.End = h.Epoch(), max(h.End, covered)
	plan, err := h.Plan(covered, h.End)
	if c.Base = plan.At; plan.Base != nil {
		c.Snapshot = plan.Base.Key(writer)
		c.Others--
	}
	for _, n := range plan.Ranges {
		c.Ranges = append(c.Ranges, n.Key(writer))
	}
	c.Others -= len(plan.Ranges)
	if err == nil {
		err = look(ctx, Reader{Bucket: b, Store: store, Writer: writer}, plan, deep)
	}
	if err != nil && !IsDefect(err) {
		return nil, err
	}
	c.Problem = err
	return c, nil
}

// look reads what a plan names.
func look(ctx context.Context, r Reader, p Plan, deep bool) error {
	if p.Base != nil {
		if !deep {
			if _, err := readSnapshot(ctx, r.Bucket, r.Store, r.Writer, *p.Base); err != nil {
				return err
			}
		} else {
			s, err := r.Snapshot(ctx, *p.Base)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, s); err != nil {
				return err
			}
		}
	}
	if deep {
		return r.Ranges(ctx, p.Ranges, p.At, func(log.Position, []byte) error { return nil })
	}
	for _, n := range p.Ranges {
		if _, err := digestOf(ctx, r.Bucket, n.Key(r.Writer)); err != nil {
			return err
		}
	}
	return nil
}

// Drop removes the whole mirror of a writer: what only the mirror has is gone then. The
// newest beginnings go last, so that what is left of a drop that was cut off is refused,
// and not taken for a history. remove is told each name before; nil is fine.
func Drop(ctx context.Context, b objstore.Bucket, writer string, remove func(key string)) (int, error) {
	var keys, begins []string
	for _, prefix := range []string{SnapshotPrefix + writer + "/", RangePrefix + writer + "/"} {
		for e, err := range b.List(ctx, prefix, "") {
			if err != nil {
				return 0, err
			}
			if strings.HasSuffix(e.Key, "/"+beginName) {
				begins = append(begins, e.Key)
			} else {
				keys = append(keys, e.Key)
			}
		}
	}
	for i, key := range append(keys, begins...) {
		if remove != nil {
			remove(key)
		}
		if err := b.Delete(ctx, key); err != nil {
			return i, err
		}
	}
	return len(keys) + len(begins), nil
}
