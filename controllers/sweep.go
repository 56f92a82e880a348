// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
)

// sweeper makes the RecoverySidecars for what pends in a root and asks for a look
// at those that are there. It heals nothing: only their reconciler recovers.
type sweeper struct {
	opt      Options
	client   client.Client
	ledger   *ledger
	sidecars *wake
	// busy reports whether a live, streaming process has this operation in hand,
	// which was first seen at a time.
	busy func(root *Root, sc *recovery.Sidecar, first time.Time) bool
}

// all lists what pends in the root and ensures one RecoverySidecar for each. What
// a live writer has in hand is left alone, unless it has had it for the time
// between two sweeps.
func (s *sweeper) all(ctx context.Context, root *Root, priority int) error {
	began := s.opt.Now()
	listed, err := recovery.List(ctx, root.Bucket)
	root.away.note(err, began)
	if err != nil {
		return err
	}
	keys := map[string]bool{}
	var failed []error
	for _, l := range listed {
		keys[l.Key] = true
		if l.Lone {
			failed = append(failed, root.Recoverer.Litter(ctx, l))
			continue
		}
		// One object that fails to be read does not hide the others.
		_, err := s.one(ctx, root, l.Key, time.Time{}, priority)
		failed = append(failed, err)
	}
	s.ledger.keepOnly(root.UID, keys, began)
	return errors.Join(failed...)
}

// named ensures the RecoverySidecars of operations that a status has named: no
// listing is needed if any of them is pending.
func (s *sweeper) named(ctx context.Context, root *Root, ops []string, detected time.Time) (pend bool, err error) {
	var failed []error
	for _, op := range ops {
		if err := manifest.OperationID(op).Validate(); err != nil {
			failed = append(failed, fmt.Errorf("a status names an operation: %w", err))
			continue
		}
		is, err := s.one(ctx, root, recovery.SidecarKey(manifest.OperationID(op)), detected, urgent)
		pend = pend || is
		failed = append(failed, err)
	}
	return pend, errors.Join(failed...)
}

// one ensures the RecoverySidecar of one object. It is created only after a get:
// a listing may lag behind, and a status too. It reports whether the object pends.
func (s *sweeper) one(ctx context.Context, root *Root, key string, detected time.Time, priority int) (bool, error) {
	now := s.opt.Now()
	name, complete, err := s.resource(ctx, root, key)
	if err != nil {
		return false, err
	}
	if name.Name != "" && !complete {
		s.ledger.note(root.UID, pending{key: key, name: name, detected: detected}, now)
		s.sidecars.up(name, priority, 0)
		return true, nil
	}
	sc, err := recovery.Get(ctx, root.Bucket, key)
	if !errors.Is(err, objstore.ErrNotFound) && !recovery.IsUnreadable(err) {
		root.away.note(err, now)
	}
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		s.ledger.done(root.UID, key)
		return false, nil // its owner finished
	case err != nil && !recovery.IsUnreadable(err):
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	p := pending{key: key, name: name, detected: detected}
	if err == nil {
		p.writer, p.operation = sc.Writer, sc.Operation
	}
	p = s.ledger.note(root.UID, p, now)
	if complete { // it came back: from a restored bucket, or the delete was lost
		s.sidecars.up(name, priority, 0)
		return true, nil
	}
	if sc != nil && s.busy(root, sc, p.first) {
		return true, nil
	}
	return true, s.create(ctx, root, p, priority)
}

// resource finds the RecoverySidecar of an object in the cache.
func (s *sweeper) resource(ctx context.Context, root *Root, key string) (name client.ObjectKey, complete bool, err error) {
	var list v1alpha1.RecoverySidecarList
	err = s.client.List(ctx, &list, client.InNamespace(root.Store.Namespace), client.MatchingFields{indexKey: keyIndex(root.Store.Name, key)})
	for i := range list.Items {
		item := &list.Items[i]
		if !item.DeletionTimestamp.IsZero() {
			continue
		}
		name, complete = nameOf(item), holds(item.Status.Conditions, v1alpha1.ConditionComplete)
		if !complete {
			break
		}
	}
	return name, complete, err
}

func (s *sweeper) create(ctx context.Context, root *Root, p pending, priority int) error {
	detected := p.detected
	if detected.IsZero() {
		detected = p.first
	}
	rsc := newSidecar(root, p.key, detected)
	p.name = nameOf(rsc)
	s.ledger.note(root.UID, p, s.opt.Now())
	if !s.ledger.making(root.UID, p.key, s.opt.Now()) {
		s.sidecars.up(p.name, priority, 0)
		return nil
	}
	err := s.client.Create(ctx, rsc, fieldManager)
	if err == nil || apierrors.IsAlreadyExists(err) {
		s.sidecars.up(p.name, priority, 0)
		return nil
	}
	s.ledger.unmade(root.UID)
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		return nil // the namespace is going away, and the store with it
	default:
		return fmt.Errorf("create RecoverySidecar %s for %s: %w", p.name, p.key, err)
	}
}
