// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package commitlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
)

var _ recovery.Format = (*Log)(nil)

// Look implements recovery.Format.
func (l *Log) Look(ctx context.Context, _ *recovery.Sidecar, p recovery.TablePlan) (recovery.TableObservation, error) {
	o := recovery.TableObservation{Head: p.Above()}
	if from := p.Above(); !from.IsZero() {
		// Deleted and made again, it would have the same number and another's name.
		c, err := l.get(ctx, Key(p.Table, from.Number))
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			o.Head, o.Ownership = manifest.Ref{}, recovery.OwnsUnverifiable
			return o, nil
		case recovery.IsUnreadable(err):
			o.Damaged = err.Error()
			return o, nil
		case err != nil:
			return o, err
		case c.Ref() != from:
			o.Head, o.Ownership = c.Ref(), recovery.OwnsUnverifiable
			return o, nil
		}
	}
	above, err := l.above(ctx, p.Table, p.Above().Number)
	if recovery.IsUnreadable(err) {
		o.Damaged = err.Error()
		return o, nil
	}
	if err != nil {
		return o, err
	}
	for _, c := range above {
		o.Above = append(o.Above, c.Ref())
		o.Head, o.Digest, o.Gone = c.Ref(), c.Digest, c.Gone
	}
	return o, nil
}

// above returns the commits above number n, oldest first.
func (l *Log) above(ctx context.Context, t manifest.TableID, n uint64) ([]*Commit, error) {
	after := ""
	if n > 0 {
		after = Key(t, n)
	}
	var out []*Commit
	for e, err := range l.b.List(ctx, dir(t), after) {
		if err != nil {
			return nil, fmt.Errorf("list table %s: %w", t, err)
		}
		c, err := l.get(ctx, e.Key)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// Restore implements recovery.Format. Whoever makes the same restore makes the same
// bytes, so that two who do it at once have both done it.
func (l *Log) Restore(ctx context.Context, p *recovery.Permit, r recovery.Restore) (manifest.Pin, error) {
	c := &Commit{Table: r.Table, Operation: r.Identity, Gone: r.Pin.IsZero()}
	if !c.Gone {
		was, err := l.get(ctx, Key(r.Table, r.Pin.Number))
		if err != nil {
			return manifest.Pin{}, fmt.Errorf("the content to restore: %w", err)
		}
		if was.Ref() != r.Pin.Ref || was.Digest != r.Pin.Digest {
			return manifest.Pin{}, fmt.Errorf("the content to restore: version %s with %s is not the pinned %s with %s", was.Ref(), was.Digest, r.Pin.Ref, r.Pin.Digest)
		}
		c.Content, c.Gone = was.Content, was.Gone
	}
	for range 16 {
		above, err := l.above(ctx, r.Table, r.Above.Number)
		if err != nil {
			return manifest.Pin{}, err
		}
		c.Number = r.Above.Number + 1
		own := func(a *Commit) bool { return a.Operation == r.Undo || a.Operation == r.Identity }
		if len(above) > 0 && !slices.ContainsFunc(above, own) {
			return manifest.Pin{}, nil
		}
		for _, a := range above {
			if !own(a) {
				return manifest.Pin{}, &recovery.BuriedError{Table: r.Table, Undo: r.Undo, By: a.Ref()}
			}
			c.Number = a.Number + 1
		}
		if n := len(above); n > 0 && above[n-1].Operation == r.Identity {
			return pin(above[n-1], r.Pin.Position), nil
		}
		if err := p.Check(ctx); err != nil {
			return manifest.Pin{}, err
		}
		other, err := l.put(ctx, c)
		switch {
		case err != nil && !errors.Is(err, objstore.ErrNotFound):
			return manifest.Pin{}, err
		case err == nil && other == nil:
			return pin(c, r.Pin.Position), nil
		}
		// Somebody was faster: look whose it is.
	}
	return manifest.Pin{}, fmt.Errorf("restore table %s above operation %s: %w", r.Table, r.Undo, manifest.ErrContention)
}

func pin(c *Commit, p manifest.Position) manifest.Pin {
	return manifest.Pin{Ref: c.Ref(), Digest: c.Digest, Position: p}
}
