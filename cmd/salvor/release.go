// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// releaseFor is how long a release is tried when the root does not answer. Then it is
// left to the lock's own end.
const releaseFor = 15 * time.Minute

// releasing releases locks with the caller's rights.
type releasing struct {
	wait   time.Duration
	stderr io.Writer
	// sleep between two tries; nil: the usual one.
	sleep func(context.Context, time.Duration) error
}

// release ends the owner's lock, and tries again while the root does not answer. ended
// is the version at which it ended and how: by this call, or by somebody else after it had
// been seen held. *manifest.NotHeldError: it was not held.
func (r releasing) release(ctx context.Context, b objstore.Bucket, owner string) (ended manifest.EndedLock, err error) {
	deadline, say := time.Now().Add(r.wait), newProgress(r.stderr)
	if r.sleep == nil {
		r.sleep = objstore.Sleep
	}
	by := manifest.Publisher{Role: manifest.RoleOperator, Process: manifest.ProcessID(newID())}
	held := false
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		ended, err = releaseOnce(ctx, b, by, owner, &held)
		var notHeld *manifest.NotHeldError
		if errors.As(err, &notHeld) && held && notHeld.Ended != nil {
			return *notHeld.Ended, nil // by a try whose answer was lost, or somebody who was faster
		}
		if err == nil || !unanswered(err) || time.Now().After(deadline) || ctx.Err() != nil {
			return ended, err
		}
		say.say("the root does not answer, trying until %s: %v", deadline.Format(time.TimeOnly), err)
		if serr := r.sleep(ctx, min(pause, time.Until(deadline)+time.Millisecond)); serr != nil {
			return ended, errors.Join(err, serr)
		}
	}
}

func releaseOnce(ctx context.Context, b objstore.Bucket, by manifest.Publisher, owner string, held *bool) (manifest.EndedLock, error) {
	m, err := manifest.Open(ctx, b, manifest.Options{NewID: newID})
	if err != nil {
		return manifest.EndedLock{}, err
	}
	l := m.View().Lock
	*held = *held || l != nil && l.Owner == owner
	pub, err := m.Release(ctx, by, owner)
	return manifest.EndedLock{Owner: owner, Version: pub.Version, How: manifest.KindRelease}, err
}

// unanswered reports whether an error may be another one in a while. What the root's
// owner has to mend, or what the root has said, may not.
func unanswered(err error) bool {
	for _, final := range []error{objstore.ErrAccessDenied, objstore.ErrNoSuchBucket, objstore.ErrInvalidKey, manifest.ErrNoStore, manifest.ErrInvalidLock, context.Canceled} {
		if errors.Is(err, final) {
			return false
		}
	}
	var notHeld *manifest.NotHeldError
	var object *manifest.ObjectError
	return !errors.As(err, &notHeld) && !errors.As(err, &object)
}
