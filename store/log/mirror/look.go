// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/objstore"
)

// Look lists what the root has of a writer's mirror: two listings, and one read for each
// epoch that has not been collected. What cannot be read is noted, and is an error only
// where it is needed.
func Look(ctx context.Context, b objstore.Bucket, store, writer string) (*Inventory, error) {
	inv := &Inventory{
		Store: store, Writer: writer, Begins: map[uint64]Begin{}, Bad: map[uint64]error{},
		Bytes: map[string]int64{}, Parts: map[string][]string{},
	}
	var begun []uint64
	for _, prefix := range []string{RangePrefix + writer + "/", SnapshotPrefix + writer + "/"} {
		for e, err := range b.List(ctx, prefix, "") {
			if err != nil {
				return nil, fmt.Errorf("list mirror: %w", err)
			}
			if epoch, ok := inv.note(e); ok {
				begun = append(begun, epoch)
			}
		}
	}
	for _, epoch := range begun {
		g, err := readBegin(ctx, b, store, writer, epoch)
		switch {
		case err == nil:
			inv.Begins[epoch] = g
		case isMissing(err): // collected since it was listed: it is not needed
		case IsDefect(err):
			inv.Bad[epoch] = err
		default:
			return nil, err
		}
	}
	inv.sort()
	return inv, nil
}

// note takes an object in; begins: it begins an epoch.
func (inv *Inventory) note(e objstore.Entry) (epoch uint64, begins bool) {
	of, isPart := whole(e.Key)
	r, isRange := parseRange(inv.Writer, of)
	s, isSnapshot := parseSnapshot(inv.Writer, of)
	epoch, begins = parseBegin(inv.Writer, e.Key)
	switch {
	case begins:
	case (isRange || isSnapshot) && isPart:
		inv.Parts[of] = append(inv.Parts[of], e.Key)
		inv.Bytes[of] += e.Size
	case isRange:
		inv.Ranges = append(inv.Ranges, r)
		inv.Bytes[of] += e.Size
	case isSnapshot:
		inv.Snapshots = append(inv.Snapshots, s)
		inv.Bytes[of] += e.Size
	default:
		inv.Strange = append(inv.Strange, e.Key)
	}
	return epoch, begins
}

func (inv *Inventory) sort() {
	slices.SortFunc(inv.Ranges, func(a, b Name) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	slices.SortFunc(inv.Snapshots, func(a, b SnapshotName) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Epoch, b.Epoch))
	})
}

// Writers lists the writers that have something in the mirror of a root.
func Writers(ctx context.Context, b objstore.Bucket) ([]string, error) {
	var out []string
	for _, prefix := range []string{RangePrefix, SnapshotPrefix} {
		for after := ""; ; {
			writer := ""
			for e, err := range b.List(ctx, prefix, after) {
				if err != nil {
					return nil, fmt.Errorf("list mirrors: %w", err)
				}
				writer, _, _ = strings.Cut(strings.TrimPrefix(e.Key, prefix), "/")
				break
			}
			if writer == "" {
				break
			}
			if !slices.Contains(out, writer) {
				out = append(out, writer)
			}
			after = prefix + writer + "/~" // behind everything of this writer
		}
	}
	slices.Sort(out)
	return out, nil
}
