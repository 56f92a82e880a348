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
	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// resolveBound is how long a lost answer is pursued before a pass gives up.
const resolveBound = 5 * time.Second

// claimAttempts bounds how often a claim looks again at a root that moves.
const claimAttempts = 5

// chain is the audit chain of every store.
const chain = "main"

// look reads which store the root is, and finds out, without writing anything,
// whether it can be ours: the one that the status remembers, and nobody else's.
func (o *opener) look(ctx context.Context, ws *v1alpha1.WALStore, root *Root) (s step) {
	m, err := manifest.Open(ctx, root.Bucket, o.manifestOptions())
	switch was := ws.Status.Root; {
	case errors.Is(err, manifest.ErrNoStore) && was == nil:
		return s // an empty root, and none is remembered: to be made
	case errors.Is(err, manifest.ErrNoStore):
		s.settle(found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootEmptied,
			"%s held store %s at manifest %d and holds no store now: restore its objects from a copy or from the bucket's versions",
			ws.Spec.Root.URI, was.UID, was.ManifestVersion).final(), rootFinding)
		return s
	case err != nil:
		s.settle(err, rootFinding)
		return s
	}
	root.Manifest = m
	us, err := o.claimant(ctx, ws)
	if err == nil {
		err = sameStore(ctx, ws, root, us)
	}
	if err == nil {
		err = claimable(m.View(), us, adoptCommand(ws, us.Cluster, fmt.Sprint(uint64(m.View().Version))))
	}
	s.settle(err, rootFinding)
	return s
}

// sameStore compares the root with what the status remembers of it.
func sameStore(ctx context.Context, ws *v1alpha1.WALStore, root *Root, us manifest.Claimant) error {
	was, st := ws.Status.Root, root.Manifest.View()
	if was == nil {
		return nil
	}
	generation, version := int64(st.Generation), int64(st.Version)
	ours := st.Claimant != nil && isUs(*st.Claimant, us)
	refuse := func(reason, format string, args ...any) error {
		return found(v1alpha1.ConditionRootClaimed, reason, format+": to take it over as it is, stop its writers and run: %s",
			append(args, adoptCommand(ws, us.Cluster, fmt.Sprint(version)))...).final()
	}
	switch {
	case ours && generation > 0 && (st.Store != was.UID || generation > was.Generation):
		return nil // adopted for us since: whatever it is, somebody meant it
	case st.Store != was.UID:
		return refuse(v1alpha1.ReasonRootSwapped, "the root holds store %s, the status remembers %s", st.Store, was.UID)
	case generation < was.Generation:
		return refuse(v1alpha1.ReasonRootRestored, "the root was adopted %d times, the status remembers %d", generation, was.Generation)
	case version < was.ManifestVersion:
		return refuse(v1alpha1.ReasonRootRestored, "the manifest ends at %d, the status remembers %d", version, was.ManifestVersion)
	}
	digest, err := digestAt(ctx, root.Bucket, manifest.Version(was.ManifestVersion))
	if err == nil && was.ManifestDigest != "" && digest != "" && digest != was.ManifestDigest {
		return refuse(v1alpha1.ReasonRootRestored, "publication %d is another one than the status remembers", was.ManifestVersion)
	}
	return err
}

// digestAt returns the digest of publication v; "" when it was collected.
func digestAt(ctx context.Context, b objstore.Bucket, v manifest.Version) (string, error) {
	if v == 0 {
		return "", nil
	}
	o, err := b.Get(ctx, manifest.Key(v))
	if errors.Is(err, objstore.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	_, digest, err := manifest.DecodeBatch(o.Key, o.Body)
	return digest, err
}

// claimable says who has the root, if that is not us.
func claimable(st *manifest.State, us manifest.Claimant, adopt string) error {
	has := st.Claimant
	switch {
	case has == nil, isUs(*has, us):
		return nil
	case has.Cluster == us.Cluster && has.Namespace == us.Namespace && has.Name == us.Name:
		// A name is unique in a cluster, and now it is ours: the WALStore that claimed
		// the root was deleted and made again.
		return nil
	}
	return found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootClaimedByAnother,
		"the root is claimed by %s: give this WALStore a root of its own; if the other one is gone, move the claim with: %s",
		has, adopt).final()
}

// claim makes an empty root a store, and the root ours. After it only we operate
// the root, for as long as nobody adopts it.
func (o *opener) claim(ctx context.Context, ws *v1alpha1.WALStore, root *Root) error {
	us, err := o.claimant(ctx, ws)
	if err != nil {
		return err
	}
	if root.Manifest == nil {
		if _, err := manifest.CreateIdentity(ctx, root.Bucket, "store-"+o.opt.NewID(), o.opt.NewID(), &us); err != nil {
			return err
		}
		if root.Manifest, err = manifest.Open(ctx, root.Bucket, o.manifestOptions()); err != nil {
			return err
		}
		st := root.Manifest.View()
		if err := claimable(st, us, adoptCommand(ws, us.Cluster, fmt.Sprint(uint64(st.Version)))); err != nil {
			return err // somebody was faster
		}
	}
	return o.take(ctx, ws, root.Manifest, us)
}

// take makes us the claimant. Another process of this operator may be at it too,
// and our predecessor's pods may still publish: then it looks again.
func (o *opener) take(ctx context.Context, ws *v1alpha1.WALStore, m *manifest.Store, us manifest.Claimant) (err error) {
	by := manifest.Publisher{Role: manifest.RoleOperator, Process: o.opt.Process}
	st := m.View()
	for range claimAttempts {
		switch has := st.Claimant; {
		case has != nil && isUs(*has, us):
			return nil
		case has != nil:
			if err := claimable(st, us, adoptCommand(ws, us.Cluster, fmt.Sprint(uint64(st.Version)))); err != nil {
				return err
			}
			_, err = m.Adopt(ctx, by, us, st.Version) // from our predecessor of the same name
		default:
			err = m.Claim(ctx, by, us)
		}
		var moved *manifest.IdentityError
		if !errors.As(err, &moved) {
			return err
		}
		var lerr error
		if st, lerr = m.Latest(ctx); lerr != nil {
			return lerr
		}
	}
	return err
}

// claimant is who we are to a root.
func (o *opener) claimant(ctx context.Context, ws *v1alpha1.WALStore) (manifest.Claimant, error) {
	cluster, err := o.clusterID(ctx)
	return manifest.Claimant{Cluster: cluster, Namespace: ws.Namespace, Name: ws.Name, UID: string(ws.UID)}, err
}

// isUs: a uid is of one object in one cluster; the cluster's name is for people.
func isUs(has, us manifest.Claimant) bool {
	return has.UID == us.UID && has.Namespace == us.Namespace && has.Name == us.Name
}

// clusterID tells this cluster from others: as it was given, or the uid of kube-system.
func (o *opener) clusterID(ctx context.Context) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cluster == "" {
		o.cluster = o.opt.ClusterID
	}
	if o.cluster == "" {
		var ns corev1.Namespace
		err := o.secrets.Get(ctx, types.NamespacedName{Name: "kube-system"}, &ns)
		switch {
		case apierrors.IsForbidden(err):
			return "", nil // an operator of some namespaces only: the uid has to do
		case err != nil:
			return "", found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonInternal, "the cluster's identity, the uid of the namespace kube-system, could not be read: %v", err)
		}
		o.cluster = string(ns.UID)
	}
	return o.cluster, nil
}

// trail opens the audit trail and checks that it goes on from the newest head
// that anybody remembers. It returns where the trail ends.
func (o *opener) trail(ctx context.Context, ws *v1alpha1.WALStore, root *Root, keys *audit.Keyring) (end audit.Head, err error) {
	head := root.Manifest.View().Head
	start := audit.Head{Number: head.Number, Hash: head.Hash}
	if was := ws.Status.Audit; was != nil && uint64(was.HeadNumber) > start.Number {
		start = audit.Head{Number: uint64(was.HeadNumber), Hash: was.HeadHash}
	}
	root.Trail, err = audit.Open(root.Bucket, chain, keys, audit.Options{
		Recoverer: string(o.opt.Process), Now: o.opt.Now, NewAttempt: o.opt.NewID, Start: start,
	})
	if err != nil {
		return end, err
	}
	return root.Trail.Head(ctx)
}

// unchanged reports whether an open root is still the store that was opened.
func unchanged(ctx context.Context, root *Root) error {
	id, err := manifest.ReadIdentity(ctx, root.Bucket)
	if err != nil {
		return err
	}
	st := root.Manifest.View()
	if id.UID != st.Store {
		return found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootSwapped, "the root holds store %s now, it was %s", id.UID, st.Store).final()
	}
	digest, err := digestAt(ctx, root.Bucket, st.Version)
	if err == nil && st.Version > 0 && digest != st.Digest {
		return found(v1alpha1.ConditionRootClaimed, v1alpha1.ReasonRootRestored,
			"publication %d is not there any more, or is another one: the root was restored from a copy", st.Version).final()
	}
	return err
}

// adoptCommand is the one command that takes a root over for a WALStore.
func adoptCommand(ws *v1alpha1.WALStore, cluster, version string) string {
	return fmt.Sprintf("salvor manifest adopt --root %s --expect-version %s --cluster %s --namespace %s --name %s --uid %s",
		ws.Spec.Root.URI, version, cluster, ws.Namespace, ws.Name, ws.UID)
}
