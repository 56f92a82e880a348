// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/store/log"
)

// Formats of the objects of this package. A reader refuses a newer one.
const (
	BeginFormat    = 1
	RangeFormat    = 1
	SnapshotFormat = 1
)

const (
	beginKind    = "wal-begin"
	rangeKind    = "wal-range"
	snapshotKind = "wal-snapshot"
)

// Begin is the first object of an epoch: which history it continues. It is there before
// anything of the epoch is acknowledged, or mirrored.
type Begin struct {
	Store   string `json:"store"`
	Writer  string `json:"writer"`
	Epoch   uint64 `json:"epoch"`
	Process string `json:"process"`
	// Position behind which the epoch goes on.
	Position log.Position `json:"position"`
	// Continues is the epoch whose history up to Position is this one's; zero: none, the
	// state at Position is in the embedder's own checkpoints.
	Continues uint64 `json:"continues,omitempty"`
	// After is the range that ends with Position.
	After *Link `json:"after,omitempty"`
}

// Link names a range, and the bytes that it has to have.
type Link struct {
	Epoch  uint64       `json:"epoch"`
	First  log.Position `json:"first"`
	Last   log.Position `json:"last"`
	Digest string       `json:"digest"`
}

func (l *Link) name() Name { return Name{l.Epoch, l.First, l.Last} }

// rangeObject holds the transactions from First to Last, each with its events.
type rangeObject struct {
	Store   string       `json:"store"`
	Writer  string       `json:"writer"`
	Epoch   uint64       `json:"epoch"`
	Process string       `json:"process"`
	First   log.Position `json:"first"`
	Last    log.Position `json:"last"`
	// After is the range that ends with First-1; none where the state at First-1 is in the
	// embedder's own checkpoints.
	After        *Link      `json:"after,omitempty"`
	Transactions [][][]byte `json:"transactions,omitempty"`
	// Parts of the JSON of Transactions, where it is larger than one object.
	Parts []part `json:"parts,omitempty"`
}

// snapshotObject names the parts of what the embedder wrote at a position.
type snapshotObject struct {
	Store    string       `json:"store"`
	Writer   string       `json:"writer"`
	Epoch    uint64       `json:"epoch"`
	Process  string       `json:"process"`
	Position log.Position `json:"position"`
	Bytes    int64        `json:"bytes"`
	Parts    []part       `json:"parts"`
}

type part struct {
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`
}

// get reads the object at key and returns the digest of its body. Errors are
// *ObjectError, or the bucket's.
func get(ctx context.Context, b objstore.Bucket, key, kind string, format int, into any) (digest string, err error) {
	o, err := b.Get(ctx, key)
	if err != nil {
		return "", damaged(key, err)
	}
	if _, err := envelope.Decode(kind, format, o.Body, into); err != nil {
		return "", damaged(key, err)
	}
	h, _, err := envelope.ParseHeader(o.Body)
	return h.Digest, damaged(key, err)
}

// getParts reads the parts of the object at key, and hands out each when it was found to
// be what was written.
func getParts(ctx context.Context, b objstore.Bucket, key string, parts []part, each func([]byte) error) error {
	for _, p := range parts {
		name := partKey(key, p.Digest)
		o, err := b.Get(ctx, name)
		if err != nil {
			return damaged(name, err)
		}
		if got := envelope.Digest(o.Body); got != p.Digest {
			return damaged(name, &envelope.DigestError{Kind: "part of a " + snapshotKind, Want: p.Digest, Got: got})
		}
		if err := each(o.Body); err != nil {
			return err
		}
	}
	return nil
}

// readBegin reads the object that begins an epoch.
func readBegin(ctx context.Context, b objstore.Bucket, store, writer string, epoch uint64) (Begin, error) {
	key := BeginKey(writer, epoch)
	var g Begin
	if _, err := get(ctx, b, key, beginKind, BeginFormat, &g); err != nil {
		return g, err
	}
	switch {
	case g.Store != store, g.Writer != writer, g.Epoch != epoch:
		return g, foreign(key, "it says that it begins epoch %d of writer %s of store %s", g.Epoch, g.Writer, g.Store)
	case g.Continues >= epoch, g.After != nil && (g.After.Last != g.Position || g.After.Epoch > g.Continues || g.After.First > g.After.Last):
		return g, damaged(key, fmt.Errorf("%w: it goes on behind position %d of epoch %d", envelope.ErrMalformed, g.Position, g.Continues))
	}
	return g, nil
}

// readRange reads a range, whole, and returns it with its digest.
func readRange(ctx context.Context, b objstore.Bucket, store, writer string, n Name) (*rangeObject, string, error) {
	key := n.Key(writer)
	var r rangeObject
	digest, err := get(ctx, b, key, rangeKind, RangeFormat, &r)
	if err != nil {
		return nil, "", err
	}
	if r.Store != store || r.Writer != writer || r.Epoch != n.Epoch || r.First != n.First || r.Last != n.Last {
		return nil, "", foreign(key, "it says that it holds positions %d to %d of epoch %d of writer %s of store %s", r.First, r.Last, r.Epoch, r.Writer, r.Store)
	}
	if len(r.Parts) > 0 {
		var raw bytes.Buffer
		if err := getParts(ctx, b, key, r.Parts, func(p []byte) error { raw.Write(p); return nil }); err != nil {
			return nil, "", err
		}
		if err := json.Unmarshal(raw.Bytes(), &r.Transactions); err != nil {
			return nil, "", damaged(key, fmt.Errorf("%w: its parts: %w", envelope.ErrMalformed, err))
		}
	}
	if log.Position(len(r.Transactions)) != r.Last-r.First+1 {
		return nil, "", damaged(key, fmt.Errorf("%w: it has %d transactions", envelope.ErrMalformed, len(r.Transactions)))
	}
	return &r, digest, nil
}

// readSnapshot reads the object of a snapshot, without its parts.
func readSnapshot(ctx context.Context, b objstore.Bucket, store, writer string, n SnapshotName) (*snapshotObject, error) {
	key := n.Key(writer)
	var s snapshotObject
	if _, err := get(ctx, b, key, snapshotKind, SnapshotFormat, &s); err != nil {
		return nil, err
	}
	sum := int64(0)
	for _, p := range s.Parts {
		sum += p.Bytes
	}
	switch {
	case s.Store != store, s.Writer != writer, s.Epoch != n.Epoch, s.Position != n.Position:
		return nil, foreign(key, "it says that it is of position %d of epoch %d of writer %s of store %s", s.Position, s.Epoch, s.Writer, s.Store)
	case sum != s.Bytes:
		return nil, damaged(key, fmt.Errorf("%w: its parts have %d bytes, and it says %d", envelope.ErrMalformed, sum, s.Bytes))
	}
	return &s, nil
}

// digestOf reads the first line of a range.
func digestOf(ctx context.Context, b objstore.Bucket, key string) (string, error) {
	raw, err := b.GetRange(ctx, key, 0, envelope.HeaderMax)
	if err != nil {
		return "", damaged(key, err)
	}
	h, _, err := envelope.ParseHeader(raw)
	if err == nil && h.Kind != rangeKind {
		err = fmt.Errorf("%w: found a %q object", envelope.ErrMalformed, h.Kind)
	}
	return h.Digest, damaged(key, err)
}

// put creates an object whose name belongs to this process alone: Exists with the same
// bytes is the own one. *TakenError when it is not.
func put(ctx context.Context, b objstore.Bucket, p objstore.Patience, key string, raw []byte, attempt string) error {
	own, _, err := objstore.Settle(ctx, b, key, raw, attempt, p)
	switch {
	case err != nil:
		return fmt.Errorf("mirror: %w", err)
	case !own:
		return &TakenError{Key: key}
	}
	return nil
}
