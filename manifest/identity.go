// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// Identity is the object `store`: which store a root is. It is created once and
// never changes; who operates the root is Claimant in the State.
type Identity struct {
	UID      string    `json:"uid"`
	Claimant *Claimant `json:"claimant,omitempty"`
}

// ReadIdentity returns the root's identity. ErrNoStore when there is none.
func ReadIdentity(ctx context.Context, b objstore.Bucket) (Identity, error) {
	var id Identity
	o, err := b.Get(ctx, IdentityKey)
	if errors.Is(err, objstore.ErrNotFound) {
		return id, ErrNoStore
	}
	if errors.Is(err, objstore.ErrTooLarge) {
		return id, objectError(IdentityKey, err)
	}
	if err != nil {
		return id, fmt.Errorf("read the root's identity: %w", err)
	}
	if _, err := envelope.Decode(identityKind, identityFormats.Newest(), o.Body, &id); err != nil {
		return id, objectError(IdentityKey, err)
	}
	return id, nil
}

// CreateIdentity makes an empty root a store, unless it is one already; either
// way it returns the identity that the root now has. claimant may be nil: then
// the first claim entry decides who operates it. A root that holds publications
// but no identity is refused: somebody emptied it by half.
func CreateIdentity(ctx context.Context, b objstore.Bucket, uid, attempt string, claimant *Claimant) (Identity, error) {
	id, err := ReadIdentity(ctx, b)
	if !errors.Is(err, ErrNoStore) {
		return id, err
	}
	for e, err := range b.List(ctx, Prefix, "") {
		if err != nil {
			return id, fmt.Errorf("look for publications in an unnamed root: %w", err)
		}
		return id, &IdentityError{
			Why:  fmt.Sprintf("the root holds %s but no object %q", e.Key, IdentityKey),
			Hint: "restore that object from a copy, or choose an empty prefix",
		}
	}
	raw, err := envelope.Encode(identityKind, identityFormats.At(1), Identity{UID: uid, Claimant: claimant})
	if err != nil {
		return id, err
	}
	res, err := b.PutIfAbsent(ctx, IdentityKey, raw, attempt)
	if res.Outcome == objstore.Retry {
		return id, fmt.Errorf("create the root's identity: %w", err)
	}
	// Created, Exists or Unknown: what is there now is the answer.
	id, rerr := ReadIdentity(ctx, b)
	if errors.Is(rerr, ErrNoStore) {
		return id, fmt.Errorf("create the root's identity: %w", errors.Join(ErrUnknown, err))
	}
	return id, rerr
}

func claimedError(c *Claimant) *IdentityError {
	return &IdentityError{
		Why:  fmt.Sprintf("the root is claimed by %s", c),
		Hint: "give this store a root of its own, or move the claim with `salvor manifest adopt`",
	}
}

// String names the claimant for people.
func (c *Claimant) String() string {
	if c == nil {
		return "nobody"
	}
	s := c.Name
	if c.Namespace != "" {
		s = c.Namespace + "/" + s
	}
	if c.Cluster != "" {
		s += " in cluster " + c.Cluster
	}
	return s
}
