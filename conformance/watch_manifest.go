// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
)

// advance replays the publications that are new.
func (w *watch) advance(ctx context.Context) {
	if w.st == nil {
		id, err := manifest.ReadIdentity(ctx, w.b)
		if err != nil {
			return // the publication that follows is told so
		}
		w.st = manifest.NewState(id.UID)
		w.st.Claimant = id.Claimant
	}
	for {
		o, err := w.b.Get(ctx, manifest.Key(w.st.Version+1))
		if err != nil {
			return
		}
		b, digest, err := manifest.DecodeBatch(o.Key, o.Body)
		if err != nil {
			return
		}
		next, err := manifest.Apply(w.st, b, digest)
		if err != nil {
			return
		}
		w.st = next
	}
}

// publication looks at manifest/<n>, which the writer just created.
func (w *watch) publication(ctx context.Context, key string, raw []byte) {
	w.created = w.requests
	b, digest, err := manifest.DecodeBatch(key, raw)
	if err != nil {
		w.violate(Envelope, key, "%v", err)
		return
	}
	if first, ok := w.attempts[b.Attempt]; ok {
		w.violate(IDsOnce, key, "attempt id %s is that of %s", b.Attempt, first)
	}
	w.attempts[b.Attempt] = key
	st, err := w.before(ctx, b.Number)
	if err != nil {
		w.violate(Line, key, "%v", err)
		return
	}
	for _, v := range admissible(st, b) {
		w.violate(v.Rule, key, "%s", v.Detail)
	}
	if b.By.Role != manifest.RoleWriter {
		w.violate(Admission, key, "a writer publishes in the role %q", b.By.Role)
	}
	for i := range b.Entries {
		w.outcome(ctx, key, &b.Entries[i])
	}
	if next, err := manifest.Apply(st, b, digest); err != nil {
		w.violate(Line, key, "%v", err)
	} else {
		w.st = next
	}
}

// before returns the state that publication n was published on.
func (w *watch) before(ctx context.Context, n manifest.Version) (*manifest.State, error) {
	id, err := manifest.ReadIdentity(ctx, w.b)
	if err != nil {
		return nil, err
	}
	if w.st == nil {
		w.st = manifest.NewState(id.UID)
		w.st.Claimant = id.Claimant
	}
	for w.st.Version+1 < n {
		at := w.st.Version
		o, err := w.b.Get(ctx, manifest.Key(at+1))
		if err != nil {
			return nil, err
		}
		b, digest, err := manifest.DecodeBatch(o.Key, o.Body)
		if err != nil {
			return nil, err
		}
		if w.st, err = manifest.Apply(w.st, b, digest); err != nil {
			return nil, err
		}
	}
	return w.st, nil
}

// outcome looks at an entry that decides an operation.
func (w *watch) outcome(ctx context.Context, key string, e *manifest.Entry) {
	if e.Kind != manifest.KindPublish && e.Kind != manifest.KindAbandon {
		return
	}
	s := w.sidecars[e.Operation]
	if s == nil {
		w.violate(Publish, key, "it decides operation %s, which has no sidecar", e.Operation)
		return
	}
	if e.Kind == manifest.KindPublish && recovery.TraitsOf(s.Kind).Mode == recovery.ModeConfirmed {
		if _, err := w.b.GetRange(ctx, recovery.ConfirmedKey(e.Operation), 0, 1); errors.Is(err, objstore.ErrNotFound) {
			w.violate(Confirm, key, "it publishes operation %s, which is not confirmed", e.Operation)
		}
	}
	for _, v := range published(ctx, w.b, s, e) {
		w.violate(v.Rule, key, "%s", v.Detail)
	}
}

// delete looks at what the writer is about to delete.
func (w *watch) delete(ctx context.Context, key string) {
	if strings.HasPrefix(key, manifest.ReaderPrefix) || strings.HasPrefix(key, "probe/") {
		return
	}
	if _, err := w.b.GetRange(ctx, key, 0, 1); errors.Is(err, objstore.ErrNotFound) {
		return
	}
	name, ok := strings.CutPrefix(key, recovery.Prefix)
	name, companion := strings.CutSuffix(name, ".confirmed")
	op := manifest.OperationID(name)
	s := w.sidecars[op]
	if !ok || s == nil {
		w.violate(Delete, key, "the writer deletes what is not a sidecar of its own")
		return
	}
	w.advance(ctx)
	o, decided := w.st.Outcome(op)
	switch {
	case !decided:
		w.violate(Delete, key, "operation %s has no outcome: its sidecar is all that is known of it", op)
	case o.By.Role != manifest.RoleWriter || o.By.Process != s.Epoch.Process:
		w.violate(Delete, key, "the outcome of operation %s names %s %s as its publisher, who records it first", op, o.By.Role, o.By.Process)
	case !companion:
		if _, err := w.b.GetRange(ctx, recovery.ConfirmedKey(op), 0, 1); err == nil {
			w.violate(Delete, key, "deleted before its confirmation: the sidecar goes last")
		}
	}
}
