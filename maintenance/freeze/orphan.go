// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"context"
	"errors"

	"github.com/salvor-io/salvor/manifest"
)

// Orphan releases the lock of a store if nobody holds on to it any more. mine says
// whether it is one of those that the caller looks after; gone says why nobody
// holds on to it ("": somebody does), and is asked behind this process's registration,
// so that an answer from before a successor's reign releases nothing.
//
// It returns the lock that it released, and why; nil when there was none to release.
func Orphan(ctx context.Context, m *manifest.Store, mine func(*manifest.Lock) bool, publisher func(context.Context) (manifest.Publisher, error), gone func(context.Context, *manifest.Lock) (string, error)) (*manifest.Lock, string, error) {
	st, err := m.Latest(ctx)
	if err != nil || st.Lock == nil || !mine(st.Lock) {
		return nil, "", err
	}
	by, err := publisher(ctx)
	if err != nil {
		return nil, "", err
	}
	evidence, err := gone(ctx, st.Lock)
	if err != nil || evidence == "" {
		return nil, "", err
	}
	_, err = m.Release(ctx, by, st.Lock.Owner)
	var notHeld *manifest.NotHeldError
	if errors.As(err, &notHeld) {
		return nil, "", nil // it has ended
	}
	if err != nil {
		return nil, "", err
	}
	return st.Lock, evidence, nil
}
