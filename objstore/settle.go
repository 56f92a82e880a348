// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrUnknown: an answer was lost and could not be resolved before the deadline.
// The object may be there now, later or never; nothing may be cleaned up.
var ErrUnknown = errors.New("outcome unknown")

// Patience is how long and how a lost or refused put is pursued.
type Patience struct {
	// Bound is the time after which Settle gives up. Default 15 s.
	Bound time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Sleep waits d or until ctx ends. Default a timer.
	Sleep func(ctx context.Context, d time.Duration) error
}

func (p Patience) withDefaults() Patience {
	if p.Bound == 0 {
		p.Bound = 15 * time.Second
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Sleep == nil {
		p.Sleep = Sleep
	}
	return p
}

// Sleep waits d or until ctx ends, and returns the context's cause then.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Settle puts body at key if absent and does not come back before it knows whose
// object is there: a lost answer is resolved by reading the key, an absent key is
// put again with the same bytes. body must contain an id of this attempt, so that
// equal bytes mean the own object.
//
// own: the object is there and it is this one. Not own, no error: another one has
// the key; other holds it (zero if it was gone again when read). An error wraps
// ErrUnknown when the object may have landed or may still land; otherwise nothing
// of ours is there and nothing will be.
func Settle(ctx context.Context, b Bucket, key string, body []byte, attempt string, p Patience) (own bool, other Object, err error) {
	p = p.withDefaults()
	deadline, lost := p.Now().Add(p.Bound), false
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		res, cause := b.PutIfAbsent(ctx, key, body, attempt)
		switch res.Outcome {
		case Created:
			return true, Object{}, nil
		case Retry:
			if permanent(cause) && !lost {
				return false, Object{}, cause
			}
		default:
			lost = lost || res.Outcome == Unknown
			there, rerr := b.Get(ctx, key)
			switch {
			case rerr == nil && bytes.Equal(there.Body, body):
				return true, Object{}, nil
			case rerr == nil:
				return false, there, nil
			case errors.Is(rerr, ErrNotFound) && res.Outcome == Exists:
				return false, Object{}, nil
			}
			cause = errors.Join(cause, rerr)
		}
		if p.Now().After(deadline) || p.Sleep(ctx, wait) != nil {
			cause = errors.Join(cause, context.Cause(ctx))
			if lost {
				return false, Object{}, fmt.Errorf("put %s: %w: %w", key, ErrUnknown, cause)
			}
			return false, Object{}, fmt.Errorf("put %s: nothing landed: %w", key, cause)
		}
	}
}

// permanent reports whether sending the same request again cannot help.
func permanent(err error) bool {
	for _, e := range []error{ErrTooLarge, ErrInvalidKey, ErrAccessDenied, ErrNoSuchBucket} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
