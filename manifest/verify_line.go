// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// line walks the publications that count.
func (v *verifier) line(ctx context.Context) error {
	have, err := v.s.numbers(ctx, CheckpointPrefix)
	if err != nil {
		return err
	}
	v.checkpoints, v.decided = map[Version]bool{}, map[OperationID]Version{}
	for _, c := range have {
		v.checkpoints[c] = true
	}
	bound, err := v.s.Boundary(ctx)
	if err != nil {
		return err
	}
	if v.st = v.s.origin(); bound > 1 {
		v.st = nil
		v.start(ctx, have)
	}
	listed, err := v.s.numbers(ctx, Prefix)
	if err != nil {
		return err
	}
	next := v.First + 1
	for _, n := range listed {
		if n < next { // below the boundary: litter of a collector or of a sleeper
			continue
		}
		for ; next < n; next++ {
			v.problem(Key(next), Missing, fmt.Sprintf("there is a publication %d", n), restore)
			v.st, v.digest = nil, ""
		}
		if err := v.publication(ctx, n); err != nil {
			return err
		}
		v.Newest, next = n, n+1
		v.opt.Progress(fmt.Sprintf("publication %d of %d", n, listed[len(listed)-1]))
	}
	return nil
}

// start begins at the oldest checkpoint: what is before it is collected.
func (v *verifier) start(ctx context.Context, have []Version) {
	if len(have) == 0 {
		v.problem(CheckpointPrefix, Missing, "publications were collected, and there is no checkpoint to start from", restore)
		return
	}
	v.First, v.Newest = have[0], have[0]
	st, err := v.s.readCheckpoint(ctx, have[0])
	if err != nil {
		v.unreadable(CheckpointKey(have[0]), err)
		return
	}
	v.st, v.digest = st, st.Digest
	v.Checkpoints++
	for _, o := range st.Outcomes {
		v.decided[o.Operation] = o.Version
	}
}

func (v *verifier) unreadable(key string, err error) {
	var id *IdentityError
	if errors.As(err, &id) {
		v.problem(key, Foreign, id.Why, id.Hint)
		return
	}
	v.problem(key, Unreadable, err.Error(), remedy(err, restore))
}

// remedy is what to do about an object that cannot be read: nothing is wrong with
// one that only is newer.
func remedy(err error, damaged string) string {
	var newer *envelope.FormatError
	if errors.As(err, &newer) {
		return "look with a salvor that knows this format"
	}
	return damaged
}

func (v *verifier) publication(ctx context.Context, n Version) error {
	key := Key(n)
	o, err := v.s.bucket.Get(ctx, key)
	if err != nil && !errors.Is(err, objstore.ErrTooLarge) {
		return fmt.Errorf("read publication %d: %w", n, err)
	}
	var b *Batch
	var digest string
	if err == nil {
		b, digest, err = decodeBatch(key, o.Body, v.s.formats())
	}
	if err != nil {
		v.unreadable(key, err)
		v.st, v.digest = nil, ""
		return v.resume(ctx, n)
	}
	v.Publications++
	switch {
	case b.Store != v.Store:
		v.problem(key, Foreign, "it belongs to store "+b.Store, "the root was mixed with another one: restore the right objects")
	case v.digest != "" && b.Parent != v.digest:
		v.problem(key, Foreign, fmt.Sprintf("it follows another publication %d than the one that is here", n-1),
			"the root was restored from a copy while somebody published: stop the writers and run `salvor manifest adopt`")
	}
	for _, e := range b.Entries {
		if e.Operation == "" {
			continue
		}
		if first, ok := v.decided[e.Operation]; ok {
			v.problem(key, Contradiction, fmt.Sprintf("it decides operation %s, which publication %d decided", e.Operation, first),
				"the first entry counts; a publisher does not follow the protocol: find out who")
			continue
		}
		v.decided[e.Operation] = n
	}
	if v.st != nil {
		if v.st, err = Apply(v.st, b, digest); err != nil {
			v.st = nil // said above
		}
	}
	v.digest = digest
	return v.resume(ctx, n)
}

// resume compares the checkpoint at n with what was read, or goes on from it.
func (v *verifier) resume(ctx context.Context, n Version) error {
	if !v.checkpoints[n] {
		return nil
	}
	key := CheckpointKey(n)
	raw, err := v.s.checkpointBytes(ctx, key)
	if errors.Is(err, errPartMissing) {
		v.problem(key, Missing, err.Error(), "delete it: readers start from an older one, and the next is written by itself")
		return nil
	}
	if err != nil && !damaged(err) {
		return fmt.Errorf("read checkpoint %d: %w", n, err)
	}
	var st *State
	if err == nil {
		st, err = decodeCheckpoint(key, raw, v.s.formats())
	}
	switch {
	case err != nil:
		v.problem(key, Unreadable, err.Error(), remedy(err, "delete it: readers start from an older one, and the next is written by itself"))
		return nil
	case st.Store != v.Store:
		v.problem(key, Foreign, "it belongs to store "+st.Store, "delete it: readers start from an older one")
		return nil
	}
	v.Checkpoints++
	if v.st == nil {
		v.st, v.digest = st, st.Digest
		return nil
	}
	want, err := EncodeCheckpoint(v.st)
	if err != nil {
		return err
	}
	got, err := EncodeCheckpoint(st) // another language may spell it in another way
	if err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		v.problem(key, Contradiction, "it is not what the publications up to it say", "delete it: readers start from an older one")
	}
	return nil
}
