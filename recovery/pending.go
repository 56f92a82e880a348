// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// Pending returns the unfinished operations for manifest.Collect, and every name
// that might be one: an object that cannot be read is an operation of unknown
// base, which holds the collection back until somebody looks at it.
func Pending(b objstore.Bucket) func(context.Context) ([]manifest.Pending, error) {
	return func(ctx context.Context) ([]manifest.Pending, error) {
		listed, err := List(ctx, b)
		if err != nil {
			return nil, err
		}
		var out []manifest.Pending
		for _, l := range listed {
			if l.Lone {
				continue
			}
			s, err := Get(ctx, b, l.Key)
			switch {
			case errors.Is(err, objstore.ErrNotFound):
				continue // finished meanwhile: the publications name it
			case IsUnreadable(err):
				out = append(out, manifest.Pending{Operation: l.Operation()})
				continue
			case err != nil:
				return nil, err
			}
			out = append(out, manifest.Pending{Operation: s.Operation, Base: s.Base})
			if l.Operation() != s.Operation { // misnamed: spare both
				out = append(out, manifest.Pending{Operation: l.Operation(), Base: s.Base})
			}
		}
		return out, nil
	}
}
