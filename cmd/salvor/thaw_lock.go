// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/controllers"
	"github.com/salvor-io/salvor/manifest"
)

// What became of a lock.
const (
	lockThawed = "Thawed"
	// lockLost: it had ended before, and nobody has released it for this freeze.
	lockLost = "Lost"
	// lockNone: the freeze never held the store, or was over for good.
	lockNone  = "NotHeld"
	heldStill = "Held"
	// notTold: it could not be looked at.
	notTold = "Unknown"
)

// thawed is what became of the lock of one store.
type thawed struct {
	Namespace   string `json:"namespace"`
	Maintenance string `json:"maintenance,omitempty"`
	Store       string `json:"store"`
	Owner       string `json:"owner"`
	Outcome     string `json:"outcome"`
	Message     string `json:"message"`
}

// thawing is one StoreMaintenance that ends, or a lock that one has left.
type thawing struct {
	namespace string
	m         *v1alpha1.StoreMaintenance // nil: it is gone
	owner     string
	until     time.Time
	stores    []thawed
	// lockedAt is, by store, the manifest's version at which the lock was taken; 0: it was
	// not, as far as the operator has said.
	lockedAt []int64
}

func thawingOf(m *v1alpha1.StoreMaintenance) *thawing {
	t := &thawing{namespace: m.Namespace, m: m, owner: controllers.MaintenanceOwner(m), until: m.Spec.Until.Time}
	over := apimeta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReleased)
	for _, s := range m.Status.Stores {
		one := thawed{Namespace: m.Namespace, Maintenance: m.Name, Store: s.Name, Owner: t.owner}
		switch {
		// A freeze that nobody ends lets go of nothing before its time: this was somebody else.
		case s.EndedAt > 0 && !m.Status.Leaving && !(over && s.EndedBy == string(manifest.KindExpire)):
			one.Outcome, one.Message = lockLost, fmt.Sprintf("its lock had ended before, in manifest %d by %s: what was written since was not held back", s.EndedAt, s.EndedBy)
		case over:
			one.Outcome, one.Message = lockNone, "the freeze was over: "+s.Message
		}
		t.stores = append(t.stores, one)
		t.lockedAt = append(t.lockedAt, s.LockedAt)
	}
	if len(t.stores) == 0 {
		t.stores = []thawed{{m.Namespace, m.Name, "", t.owner, lockNone, "it held nothing yet"}}
		t.lockedAt = []int64{0}
	}
	return t
}

// thaw deletes every StoreMaintenance first, so that all let go at the same time, and
// then sees what becomes of each lock. One that fails keeps no other.
func (f *thawFlags) thaw(cmd *cobra.Command, c client.Client, all []*thawing) []thawed {
	ctx := cmd.Context()
	deadline := time.Now().Add(f.wait)
	out := []thawed{}
	for _, t := range all {
		if f.alone {
			t.release(ctx, c, releasing{wait: f.wait, stderr: cmd.ErrOrStderr()})
		}
		if t.m == nil {
			continue
		}
		if err := c.Delete(ctx, t.m, client.Preconditions{UID: &t.m.UID}); client.IgnoreNotFound(err) != nil {
			for i := range t.stores {
				t.stores[i].Outcome, t.stores[i].Message = notTold, fmt.Sprintf("delete StoreMaintenance %s: %v", t.m.Name, err)
			}
			continue
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "StoreMaintenance %s/%s deleted\n", t.namespace, t.m.Name)
	}
	for _, t := range all {
		for i, s := range t.stores {
			if s.Outcome == "" {
				s.Outcome, s.Message = t.await(ctx, c, s.Store, t.lockedAt[i], deadline)
			}
			s.Message += t.hooksLeft(ctx, c, s.Store)
			out = append(out, s)
		}
	}
	return out
}

// release publishes the end of the locks with the caller's rights. What was held when
// it was looked at first and is released now was thawed, whoever was faster.
func (t *thawing) release(ctx context.Context, c client.Client, r releasing) {
	for i := range t.stores {
		s := &t.stores[i]
		if s.Outcome == lockNone {
			continue
		}
		s.Outcome, s.Message = t.releaseOne(ctx, c, r, s.Store)
		if s.Outcome == lockLost && t.m != nil && t.lockedAt[i] == 0 {
			s.Outcome, s.Message = lockNone, "it did not hold the store"
		}
	}
}

func (t *thawing) releaseOne(ctx context.Context, c client.Client, r releasing, store string) (outcome, message string) {
	var ws v1alpha1.WALStore
	if err := c.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: store}, &ws); err != nil {
		return t.without(err)
	}
	b, err := controllers.OpenRoot(ctx, c, &ws)
	if err != nil {
		return notTold, fmt.Sprintf("open the root: %v; with credentials of your own: salvor manifest thaw --root %s --owner %s", err, ws.Spec.Root.URI, t.owner)
	}
	defer b.Close()
	ended, err := r.release(ctx, b, t.owner)
	var notHeld *manifest.NotHeldError
	switch {
	case err == nil && ended.How == manifest.KindRelease:
		return lockThawed, fmt.Sprintf("released in manifest %d", ended.Version)
	case err == nil:
		return lockThawed, fmt.Sprintf("ended in manifest %d by %s", ended.Version, ended.How)
	case !errors.As(err, &notHeld):
		return notTold, err.Error()
	default:
		return lockLost, err.Error() + ": what was written since was not held back"
	}
}

// without says what to do about a lock whose WALStore cannot be read.
func (t *thawing) without(err error) (outcome, message string) {
	if apierrors.IsNotFound(err) {
		return notTold, fmt.Sprintf("there is no such WALStore any more; if its root is locked, that ends at %s; before that: salvor manifest thaw --root … --owner %s", rfc3339(t.until), t.owner)
	}
	return notTold, err.Error()
}

// await waits until the operator has seen that no lock of this owner holds the store:
// in a status that is newer than the lock.
func (t *thawing) await(ctx context.Context, c client.Client, store string, lockedAt int64, deadline time.Time) (outcome, message string) {
	tick, over := time.NewTicker(200*time.Millisecond), time.NewTimer(max(time.Until(deadline), time.Second))
	defer tick.Stop()
	defer over.Stop()
	key := client.ObjectKey{Namespace: t.namespace, Name: store}
	held := "the operator has not said what became of it"
	for {
		var ws v1alpha1.WALStore
		err := c.Get(ctx, key, &ws)
		switch l := ws.Status.Lock; {
		case err != nil:
			return t.without(err)
		case l != nil && l.Owner != t.owner, l == nil && (ws.Status.Root == nil || ws.Status.Root.ManifestVersion > lockedAt):
			return lockThawed, "no lock of this freeze holds it"
		case l != nil:
			held = fmt.Sprintf("%s until %s by %s; without the operator: kubectl salvor thaw -n %s %s --without-operator", l.Mode, rfc3339(l.Until.Time), l.Owner, t.namespace, store)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return notTold, context.Cause(ctx).Error()
		case <-over.C:
			return heldStill, held
		}
	}
}

// hooksLeft says what the hooks of the maintenance have not undone yet; only the operator
// does that.
func (t *thawing) hooksLeft(ctx context.Context, c client.Client, store string) string {
	var run v1alpha1.HookRun
	if t.m == nil || c.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: store}, &run) != nil || run.Spec.Maintenance.UID != string(t.m.UID) {
		return ""
	}
	if undone := apimeta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionUndone); undone != nil && undone.Status != metav1.ConditionTrue {
		return fmt.Sprintf("; its hooks are not undone yet (%s): see kubectl get hookrun %s -n %s", undone.Message, store, t.namespace)
	}
	return ""
}

func tellThawed(w io.Writer, all []thawed) {
	if len(all) == 0 {
		fmt.Fprintln(w, "there is nothing to thaw")
	}
	for _, t := range all {
		fmt.Fprintf(w, "%s/%s: %s: %s\n", t.Namespace, cmp.Or(t.Store, t.Maintenance), t.Outcome, t.Message)
	}
}
