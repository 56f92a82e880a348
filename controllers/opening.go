// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
)

// step is one thing that has to hold before a root is used: known to hold, known
// not to, or not looked at.
type step struct {
	ok  bool
	bad *finding
}

func (s *step) settle(err error, say func(error) *finding) bool {
	if err != nil {
		*s = step{bad: say(err)}
		return false
	}
	*s = step{ok: true}
	return true
}

// opening is how far the way to an open root was walked.
type opening struct {
	claimed, probed, audited step
	root                     *Root // nil when it is not open; one that is may have gone away or be in doubt
	reprobed                 bool  // the look was a repeated probe, and nothing else
}

// bad returns the first thing that does not hold.
func (o *opening) bad() *finding {
	for _, s := range []step{o.claimed, o.probed, o.audited} {
		if s.bad != nil {
			return s.bad
		}
	}
	return nil
}

// opener opens roots. secrets is a reader without a cache: a Secret is got by the
// name that a WALStore of its own namespace gives, and never listed or kept.
type opener struct {
	opt       Options
	secrets   client.Reader
	requester requester
	roots     *Roots

	mu      sync.Mutex
	cluster string
}

// open walks the way: may this root be used at all, whose credentials, which
// store is it and is it ours, does it keep its promises, is it the one that it was,
// does its audit trail go on. Nothing is written before the probe.
func (o *opener) open(ctx context.Context, ws *v1alpha1.WALStore) (res opening) {
	access, err := o.credentials(ctx, ws)
	if err != nil {
		res.claimed.settle(err, rootFinding)
		return res
	}
	keys, keyData, keyErr := o.keyring(ctx, ws)
	print := fingerprint(ws, access.Secret, map[string][]byte{v1alpha1.SecretCA: access.CA}, keyData)
	if root := o.roots.Get(ws.UID); root != nil && root.print == print && keyErr == nil {
		return o.again(ctx, ws, root)
	}
	b, err := o.opt.OpenBucket(ctx, ws.Spec.Root, access)
	if err != nil {
		res.claimed.settle(openFinding(access, err), rootFinding)
		return res
	}
	root := &Root{Store: client.ObjectKeyFromObject(ws), UID: ws.UID, URI: ws.Spec.Root.URI, Bucket: b, print: print, ca: len(access.CA) > 0}
	defer func() {
		if res.root == nil {
			_ = b.Close()
			o.roots.Close(ws.UID)
		}
	}()
	if res.claimed = o.look(ctx, ws, root); res.claimed.bad != nil {
		return res
	}
	res.claimed.ok = false
	if !res.probed.settle(o.probe(ctx, root), probeFinding) {
		return res
	}
	if !res.claimed.settle(o.claim(ctx, ws, root), rootFinding) {
		return res
	}
	if !res.audited.settle(keyErr, auditFinding) {
		return res
	}
	end, err := o.trail(ctx, ws, root, keys)
	if !res.audited.settle(err, auditFinding) {
		return res
	}
	root.probeAt = o.opt.Now().Add(o.opt.reprobe())
	root.Recoverer = recovery.NewRecoverer(root.Manifest, root.Trail, recovery.RecovererOptions{
		Process: o.opt.Process, Now: o.opt.Now, Head: &end, Formats: formats(root.Bucket),
	})
	o.roots.put(root)
	res.root = root
	return res
}

func (o *opener) probe(ctx context.Context, root *Root) error {
	return objstore.Probe(ctx, root.Bucket, "probe/"+o.opt.NewID()+"/")
}

// again checks an open root: is it still the same store, with the same history.
// Once in a while it probes instead whether its promises are still kept; a server
// that was downgraded, or a new proxy before it, changes without notice. That takes
// the place of the other looks, so that an hour has room for either.
func (o *opener) again(ctx context.Context, ws *v1alpha1.WALStore, root *Root) (res opening) {
	res = opening{claimed: step{ok: true}, probed: step{ok: true}, audited: step{ok: true}, root: root}
	if !o.opt.Now().Before(root.probeAt) {
		res.reprobed = true
		kept := res.probed.settle(o.probe(ctx, root), probeFinding)
		root.doubt.Store(!kept)
		if kept {
			root.probeAt = o.opt.Now().Add(o.opt.reprobe())
			root.away.note(nil, o.opt.Now())
		}
		return res
	}
	err := unchanged(ctx, root)
	root.away.note(err, o.opt.Now())
	if !res.claimed.settle(err, rootFinding) {
		if res.claimed.bad.Final {
			o.roots.Close(ws.UID)
			res.root = nil
		}
		return res
	}
	_, err = root.Trail.Head(ctx)
	if !res.audited.settle(err, auditFinding) && res.audited.bad.Final {
		o.roots.Close(ws.UID)
		res.root = nil
	}
	return res
}

func probeFinding(err error) *finding {
	var p *objstore.ProbeError
	if !errors.As(err, &p) {
		return found(v1alpha1.ConditionConditionalWritesVerified, v1alpha1.ReasonProbeFailed, "%s", short(err))
	}
	switch p.Why {
	case objstore.ConditionalWritesNotEnforced, objstore.ReadsNotConsistent, objstore.DeletesNotEffective:
		return found(v1alpha1.ConditionConditionalWritesVerified, v1alpha1.ReasonConditionalWritesNotEnforced, "%s", short(err)).final()
	default:
		return found(v1alpha1.ConditionConditionalWritesVerified, v1alpha1.ReasonProbeFailed, "%s", short(err))
	}
}

// fingerprint changes when the root has to be opened anew.
func fingerprint(ws *v1alpha1.WALStore, secrets ...map[string][]byte) string {
	h := sha256.New()
	enc := json.NewEncoder(h) // maps are encoded in the order of their keys
	if err := errors.Join(enc.Encode(ws.Spec.Root), enc.Encode(secrets)); err != nil {
		fmt.Fprint(h, err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// manifestOptions are those of every manifest that this operator opens.
func (o *opener) manifestOptions() manifest.Options {
	return manifest.Options{NewID: o.opt.NewID, Now: o.opt.Now, Resolve: resolveBound}
}
