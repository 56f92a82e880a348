// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// Prefix is where sidecars live in a root.
const Prefix = "recovery/"

const (
	confirmedSuffix = ".confirmed"
	planSuffix      = ".plan"
)

// SidecarKey returns the name of an operation's sidecar.
func SidecarKey(op manifest.OperationID) string { return Prefix + string(op) }

// ConfirmedKey returns the name of an operation's confirmation.
func ConfirmedKey(op manifest.OperationID) string { return Prefix + string(op) + confirmedSuffix }

// Listed is one name under recovery/ that stands for pending work.
type Listed struct {
	// Key as it was listed: recovery/<something>.
	Key string
	// Companions were listed beside it: .confirmed, .plan.
	Companions []string
	// Lone: only companions were listed. If a get says that Key is gone they are
	// the litter of a finished operation.
	Lone bool
}

// Operation is the id that the name stands for. The body decides; a name is a hint.
func (l Listed) Operation() manifest.OperationID {
	return manifest.OperationID(strings.TrimPrefix(l.Key, Prefix))
}

// List returns what is pending under recovery/, in the order of names (ULIDs:
// oldest first). An error is never an empty list.
func List(ctx context.Context, b objstore.Bucket) ([]Listed, error) {
	byKey := map[string]*Listed{}
	get := func(key string) *Listed {
		l := byKey[key]
		if l == nil {
			l = &Listed{Key: key, Lone: true}
			byKey[key] = l
		}
		return l
	}
	for e, err := range b.List(ctx, Prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list sidecars: %w", err)
		}
		base, companion := e.Key, false
		for _, suffix := range []string{confirmedSuffix, planSuffix} {
			if s, ok := strings.CutSuffix(e.Key, suffix); ok {
				base, companion = s, true
			}
		}
		if l := get(base); companion {
			l.Companions = append(l.Companions, e.Key)
		} else {
			l.Lone = false
		}
	}
	out := make([]Listed, 0, len(byKey))
	for _, l := range byKey {
		out = append(out, *l)
	}
	slices.SortFunc(out, func(a, b Listed) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Get reads the sidecar at key. objstore.ErrNotFound: it is gone, which is
// benign (its owner finished). Other errors: those of DecodeSidecar, or the bucket's.
func Get(ctx context.Context, b objstore.Bucket, key string) (*Sidecar, error) {
	o, err := b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	s, err := DecodeSidecar(o.Body)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	return s, nil
}

func getConfirmed(ctx context.Context, b objstore.Bucket, s *Sidecar) (*Confirmed, error) {
	key := ConfirmedKey(s.Operation)
	o, err := b.Get(ctx, key)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read confirmation: %w", err)
	}
	c, err := DecodeConfirmed(s, o.Body)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	return c, nil
}
