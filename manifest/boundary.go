// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// MinAge is how old a publication is at least when it is collected, by the object
// store's clock. Readers rely on it (Options.Horizon): it is part of the protocol.
const MinAge = time.Hour

// boundary is the object boundary/<n>: numbers below n are collected, or are
// about to be, and must never be created again. The newest one holds.
type boundary struct {
	Store  string  `json:"store"`
	Number Version `json:"number"`
	// Collector is who raised it.
	Collector ProcessID `json:"collector,omitempty"`
}

// collected reports whether a boundary above v was announced.
func (s *Store) collected(ctx context.Context, v Version) (bool, error) {
	for _, err := range s.bucket.List(ctx, BoundaryPrefix, BoundaryKey(v)) {
		if err != nil {
			return false, fmt.Errorf("look for a boundary above %d: %w", v, err)
		}
		return true, nil
	}
	return false, nil
}

// Boundary returns the number below which publications are collected; 1 when
// none was ever.
func (s *Store) Boundary(ctx context.Context) (Version, error) {
	at := Version(1)
	for e, err := range s.bucket.List(ctx, BoundaryPrefix, "") {
		if err != nil {
			return 0, fmt.Errorf("list boundaries: %w", err)
		}
		v, err := ParseVersion(strings.TrimPrefix(e.Key, BoundaryPrefix))
		if err != nil {
			return 0, objectError(e.Key, err)
		}
		at = max(at, v)
	}
	return at, nil
}

// raise announces that numbers below v are collected. Somebody else's same
// announcement is as good.
func (s *Store) raise(ctx context.Context, v Version, by ProcessID) error {
	raw, err := envelope.Encode(boundaryKind, boundaryFormats.At(s.View().Level()), boundary{Store: s.id.UID, Number: v, Collector: by})
	if err != nil {
		return err
	}
	_, _, err = objstore.Settle(ctx, s.bucket, BoundaryKey(v), raw, string(by), s.patience())
	if err != nil {
		return fmt.Errorf("raise the boundary to %d: %w", v, err)
	}
	return nil
}

func (s *Store) patience() objstore.Patience {
	return objstore.Patience{Bound: s.opt.Resolve, Now: s.opt.Now, Sleep: s.opt.Sleep}
}
