// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/s3serve"
	"github.com/salvor-io/salvor/recovery"
)

// onPublication makes do happen before the next publication of the writer lands.
func (r *run) onPublication(do func() error) (failed *error) {
	failed = new(error)
	f := r.watch.fault
	f.On = func(q *s3serve.Request) bool { return strings.HasPrefix(q.Key, manifest.Prefix) }
	f.Before = func(*s3serve.Request) *s3serve.Response { *failed = do(); return nil }
	f.arm()
	return failed
}

// rebased: the number is taken by a publication that has nothing to do with it.
func (r *run) rebased(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	failed := r.onPublication(func() error {
		return r.operator(ctx, func(*manifest.State) []manifest.Entry { return []manifest.Entry{{Kind: manifest.KindAnchor}} })
	})
	c, err := r.commit(ctx, "a", "b")
	r.missed = r.watch.fault.happened() == ""
	switch {
	case err != nil:
		return err
	case *failed != nil:
		return *failed
	case c.answer.word != "ok":
		return wrong(Rebase, "an unrelated publication took the number, and the writer says: %s %s%s", c.answer.word, c.answer.why, ended(c))
	}
	return nil
}

// rival is another writer of the same tables.
type rival struct {
	m *manifest.Store
	b manifest.Publisher
}

func (r *run) rival(ctx context.Context) (*rival, error) {
	m, err := r.manifest(ctx)
	if err != nil {
		return nil, err
	}
	p := manifest.ProcessID(r.opt.NewID())
	e, err := m.Register(ctx, "conformance-rival", p, manifest.Epoch{})
	return &rival{m, manifest.Publisher{Role: manifest.RoleWriter, Process: p, Writer: "conformance-rival", Epoch: e}}, err
}

// arm writes a sidecar of the rival for one table.
func (v *rival) arm(ctx context.Context, id func() string, t manifest.TableID) (*recovery.Sidecar, error) {
	st := v.m.View()
	s := &recovery.Sidecar{
		Store: st.Store, Operation: manifest.OperationID(id()), Attempt: id(), Writer: v.b.Writer, Epoch: v.b.Epoch, Kind: recovery.KindCheckpoint,
		Base: st.Version, Started: time.Now().UTC(), Level: st.Level(),
		Tables:   []recovery.TablePlan{{Table: t, Expected: st.Ref(t), Number: st.Ref(t).Number + 1}},
		Outcomes: recovery.OutcomeIDs{Publish: id(), Abandon: id(), RollBack: id()},
	}
	raw, err := recovery.EncodeSidecar(s)
	if err != nil {
		return nil, err
	}
	_, err = v.m.Bucket().PutIfAbsent(ctx, recovery.SidecarKey(s.Operation), raw, s.Attempt)
	return s, err
}

// move publishes what it armed, and cleans up.
func (v *rival) move(ctx context.Context, s *recovery.Sidecar) error {
	p := s.Tables[0]
	raw, err := envelope.Encode("rival", 1, map[string]any{"operation": s.Operation})
	if err != nil {
		return err
	}
	h, _, err := envelope.ParseHeader(raw)
	if err != nil {
		return err
	}
	if _, err := v.m.Bucket().PutIfAbsent(ctx, p.Object(s.Operation), raw, s.Attempt); err != nil {
		return err
	}
	_, err = v.m.Publish(ctx, manifest.Publication{By: v.b, Entries: []manifest.Entry{{
		Kind: manifest.KindPublish, Operation: s.Operation, Writer: s.Writer, Epoch: s.Epoch, Base: s.Base, OutcomeID: s.Outcomes.Publish,
		Tables: []manifest.Change{{Table: p.Table, Expected: p.Expected, To: &manifest.Pin{Ref: manifest.Ref{Number: p.Number, Operation: s.Operation}, Digest: h.Digest}}},
	}}})
	if err != nil {
		return err
	}
	return v.m.Bucket().Delete(ctx, recovery.SidecarKey(s.Operation))
}

// movedPin: two writers passed each other's look, and the other one was faster.
func (r *run) movedPin(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	if !r.shared || r.ids["a"] == "" {
		r.missed = true // its tables have one writer each
		return nil
	}
	v, err := r.rival(ctx)
	if err != nil {
		return err
	}
	failed := r.onPublication(func() error {
		s, err := v.arm(ctx, r.opt.NewID, r.ids["a"])
		if err != nil {
			return err
		}
		return v.move(ctx, s)
	})
	c, err := r.commit(ctx, "a", "b")
	switch {
	case err != nil:
		return err
	case *failed != nil:
		return *failed
	case c.answer.word != "failed":
		return wrong(Moved, "another writer moved table a meanwhile, and the writer says: %s %s%s", c.answer.word, c.answer.why, ended(c))
	}
	return r.mustCommit(ctx, "a", "b")
}

// pending: an operation of another writer is not finished.
func (r *run) pending(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	if r.ids["a"] == "" {
		return fmt.Errorf("table a is not known in the manifest")
	}
	v, err := r.rival(ctx)
	if err != nil {
		return err
	}
	s, err := v.arm(ctx, r.opt.NewID, r.ids["a"])
	if err != nil {
		return err
	}
	b, err := r.commit(ctx, "b")
	if err != nil {
		return err
	}
	if b.answer.word != "ok" {
		return wrong(Pending, "an operation pends on table a, and a commit of table b says: %s %s%s", b.answer.word, b.answer.why, ended(b))
	}
	r.watch.fault.arm()
	a, err := r.commit(ctx, "a")
	if err != nil {
		return err
	}
	for _, w := range r.watch.fault.writes() {
		if strings.HasPrefix(w, "PUT tables/") || strings.HasPrefix(w, "PUT manifest/") && a.answer.word == "ok" {
			return wrong(Pending, "operation %s pends on table a, and the writer goes on with it: %s", s.Operation, w)
		}
	}
	return nil
}

// newerFormat: a publication of a format that nobody knows yet.
func (r *run) newerFormat(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	m, err := r.manifest(ctx)
	if err != nil {
		return err
	}
	raw, err := envelope.Encode("manifest", 99, map[string]any{"store": m.Identity().UID, "nobody": "knows this"})
	if err != nil {
		return err
	}
	key := manifest.Key(m.View().Version + 1)
	if _, err := r.bucket.PutIfAbsent(ctx, key, raw, r.opt.NewID()); err != nil {
		return err
	}
	r.watch.fault.arm()
	c, err := r.commit(ctx, "a")
	if err != nil {
		return err
	}
	writes := r.watch.fault.writes()
	if err := r.bucket.Delete(ctx, key); err != nil {
		return err
	}
	if len(writes) > 0 || c.answer.word == "ok" {
		return wrong(Newer, "a publication in format 99 was there, and the writer answers %q and writes %v", c.answer.word, writes)
	}
	return nil
}
