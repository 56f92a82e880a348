// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
)

// What a name under tables/ stands for; their kinds are the store's own.
const (
	version     = "tables/"
	versionPart = "tables/.part"
)

// kindOf returns the kind that an object of this name has; "" for names whose
// bytes are free. ok is false for a name that the page does not give.
func kindOf(key string) (kind string, ok bool) {
	dir, rest, found := strings.Cut(key, "/")
	if !found {
		return key, key == "store"
	}
	_, number := manifest.ParseVersion(rest)
	switch dir {
	case "manifest", "checkpoint", "boundary":
		return dir, number == nil
	case "readers":
		return "reader", manifest.OperationID(rest).Validate() == nil
	case "orders":
		writer, id, found := strings.Cut(rest, "/")
		return "order", found && manifest.WriterID(writer).Validate() == nil && id != ""
	case "recovery":
		if op, ok := strings.CutSuffix(rest, ".confirmed"); ok {
			return "confirmed", manifest.OperationID(op).Validate() == nil
		}
		op, plan := strings.CutSuffix(rest, ".plan")
		if plan {
			return "plan", manifest.OperationID(op).Validate() == nil
		}
		return "sidecar", manifest.OperationID(op).Validate() == nil
	case "tables":
		if _, _, _, ok := manifest.ParseTableKey(key); ok {
			return version, true
		}
		_, _, ok := manifest.VersionKey(key)
		return versionPart, ok
	case "audit":
		chain, n, _ := strings.Cut(rest, "/")
		if _, err := manifest.ParseVersion(n); chain == "main" && err == nil {
			return "audit", true
		}
		return "", chain == "main" && n != ""
	case "probe":
		return "", true
	}
	return "", false
}

// digestOf returns the digest in the first line of a table version.
func digestOf(ctx context.Context, b objstore.Bucket, key string) (string, error) {
	raw, err := b.GetRange(ctx, key, 0, envelope.HeaderMax)
	if err != nil {
		return "", err
	}
	h, _, err := envelope.ParseHeader(raw)
	return h.Digest, err
}

// confirmed reports what is wrong with a confirmation, looking at the effects that
// it names.
func confirmed(ctx context.Context, b objstore.Bucket, s *recovery.Sidecar, raw []byte) (out []Violation) {
	say := func(format string, args ...any) {
		out = append(out, Violation{Rule: Confirm, Detail: fmt.Sprintf(format, args...)})
	}
	c, err := recovery.DecodeConfirmed(s, raw)
	if err != nil {
		say("%v", err)
		return out
	}
	for _, r := range c.Tables {
		key := manifest.TableKey(r.Table, r.Number, s.Operation)
		switch digest, err := digestOf(ctx, b, key); {
		case err != nil:
			say("it names %s: %v", key, err)
		case digest != r.Digest:
			say("it names %s with %s, the object says %s", key, r.Digest, digest)
		}
	}
	return out
}

// published reports where an outcome differs from what its sidecar planned.
func published(ctx context.Context, b objstore.Bucket, s *recovery.Sidecar, e *manifest.Entry) (out []Violation) {
	say := func(format string, args ...any) {
		out = append(out, Violation{Rule: Publish, Detail: fmt.Sprintf("operation %s: ", e.Operation) + fmt.Sprintf(format, args...)})
	}
	if e.Writer != s.Writer || e.Epoch != s.Epoch || e.Base != s.Base {
		say("the entry says writer %s, epoch %s, base %d; the sidecar %s, %s, %d", e.Writer, e.Epoch, e.Base, s.Writer, s.Epoch, s.Base)
	}
	want := s.Outcomes.Publish
	if e.Kind == manifest.KindAbandon {
		want = s.Outcomes.Abandon
	}
	if e.OutcomeID != want {
		say("the outcome id is %q, the sidecar has %q for %s", e.OutcomeID, want, e.Kind)
	}
	if e.Kind == manifest.KindAbandon {
		return out
	}
	if len(e.Tables) != len(s.Tables) {
		say("the entry moves %d tables, the sidecar planned %d: all tables are published in one entry", len(e.Tables), len(s.Tables))
	}
	planned := map[manifest.TableID]recovery.TablePlan{}
	for _, p := range s.Tables {
		planned[p.Table] = p
	}
	for _, c := range e.Tables {
		p, ok := planned[c.Table]
		switch {
		case !ok:
			say("table %s was not planned", c.Table)
		case c.Expected != p.Expected:
			say("table %s: expected %s, planned was %s", c.Table, c.Expected, p.Expected)
		case p.Drop != (c.To == nil):
			say("table %s: dropped %t, planned was %t", c.Table, c.To == nil, p.Drop)
		case c.To == nil:
		case c.To.Number != p.Number || c.To.Operation != s.Operation || c.To.Position != p.Position:
			say("table %s: version %s at position %d, planned was %d at position %d", c.Table, c.To.Ref, c.To.Position, p.Number, p.Position)
		default:
			key := manifest.TableKey(c.Table, c.To.Number, c.To.Operation)
			if digest, err := digestOf(ctx, b, key); err != nil {
				say("%s: %v", key, err)
			} else if digest != c.To.Digest {
				say("%s has %s, the entry says %s", key, digest, c.To.Digest)
			}
		}
	}
	return out
}
