// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
)

// retire deletes a finished RecoverySidecar when its time is over. It returns how
// long that is still to come; zero: it was deleted, or its object is back (then
// the ledger has it).
func (r *RecoverySidecarReconciler) retire(ctx context.Context, rsc *v1alpha1.RecoverySidecar, root *Root) (time.Duration, error) {
	if _, back := r.ledger.get(root.UID, rsc.Spec.Key); back {
		return 0, nil
	}
	if left := finishedAt(rsc).Add(r.opt.Retain).Sub(r.opt.Now()); left > 0 {
		return left, nil
	}
	return 0, remove(ctx, r.Client, r.ledger, root, rsc, r.opt.Now())
}

// remove deletes a finished RecoverySidecar of which a get says, now, that its
// object is gone: a listing may show it for a while yet, and a resource that came
// and went with it would heal it twice in the eyes of a reader.
func remove(ctx context.Context, c client.Client, l *ledger, root *Root, rsc *v1alpha1.RecoverySidecar, now time.Time) error {
	_, err := root.Bucket.Get(ctx, rsc.Spec.Key)
	switch {
	case err == nil:
		l.note(root.UID, pending{key: rsc.Spec.Key, name: nameOf(rsc)}, now)
		return nil
	case !errors.Is(err, objstore.ErrNotFound):
		return fmt.Errorf("look whether %s is gone: %w", rsc.Spec.Key, err)
	}
	uid, version := rsc.UID, rsc.ResourceVersion
	err = c.Delete(ctx, rsc, client.Preconditions{UID: &uid, ResourceVersion: &version})
	return client.IgnoreNotFound(err)
}

func finishedAt(rsc *v1alpha1.RecoverySidecar) time.Time {
	c, _ := find(rsc.Status.Conditions, cComplete)
	return c.LastTransitionTime.Time
}

// healedAt is to the microsecond; zero for what was finished before it was seen.
func healedAt(rsc *v1alpha1.RecoverySidecar) time.Time {
	if t := rsc.Status.Timing; t != nil && t.HealedAt != nil {
		return t.HealedAt.Time
	}
	return time.Time{}
}

// oldest returns the finished ones beyond the newest `most` of a store.
func oldest(all []v1alpha1.RecoverySidecar, most int) []v1alpha1.RecoverySidecar {
	var done []v1alpha1.RecoverySidecar
	for _, rsc := range all {
		if holds(rsc.Status.Conditions, cComplete) && rsc.DeletionTimestamp.IsZero() {
			done = append(done, rsc)
		}
	}
	if len(done) <= most {
		return nil
	}
	slices.SortFunc(done, func(a, b v1alpha1.RecoverySidecar) int {
		// A condition's time is in whole seconds; many may finish within one.
		return cmp.Or(finishedAt(&a).Compare(finishedAt(&b)), healedAt(&a).Compare(healedAt(&b)), strings.Compare(a.Name, b.Name))
	})
	return done[:len(done)-most]
}
