// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/salvor-io/salvor/manifest"
)

// rest brings a case to its end: the writer leaves, what it left is recovered, a
// new process goes on from there, and the root at rest is looked at.
func (r *run) rest(ctx context.Context) error {
	if err := r.leave(ctx); err != nil {
		return err
	}
	if err := r.recover(ctx, true); err != nil {
		return err
	}
	if err := r.judge(ctx); err != nil {
		return err
	}
	if err := r.mustStart(ctx); err != nil {
		return err
	}
	if err := r.reads(ctx); err != nil {
		return err
	}
	if err := r.mustCommit(ctx, "a", "b"); err != nil {
		return err
	}
	if err := r.judge(ctx); err != nil {
		return err
	}
	if err := r.reads(ctx); err != nil {
		return err
	}
	if err := r.leave(ctx); err != nil {
		return err
	}
	if err := r.recover(ctx, true); err != nil {
		return err
	}
	if err := r.judge(ctx); err != nil {
		return err
	}
	rep, err := CheckRoot(ctx, r.bucket, nil)
	if err != nil {
		return wrong(Line, "the root cannot be looked at: %v", err)
	}
	for _, v := range rep.Violations {
		said := slices.ContainsFunc(r.watch.violations, func(w Violation) bool { return w.Rule == v.Rule && w.Key == v.Key })
		if !said {
			r.watch.violations = append(r.watch.violations, v)
		}
	}
	return nil
}

// leave ends the process in order, if there is one.
func (r *run) leave(ctx context.Context) error {
	r.mu.Lock()
	w := r.writer
	r.writer = nil
	r.mu.Unlock()
	if w == nil {
		return nil
	}
	select {
	case <-w.ended:
		return nil
	default:
	}
	if err := w.leave(ctx); err != nil {
		return wrong(Speaks, "%v", err)
	}
	return nil
}

// judge holds what the writer told against what the manifest says.
func (r *run) judge(ctx context.Context) error {
	m, err := r.manifest(ctx)
	if errors.Is(err, manifest.ErrNoStore) && len(r.commits) == 0 {
		return nil
	}
	if err != nil {
		return wrong(Line, "the root cannot be opened: %v", err)
	}
	st := m.View()
	r.watch.mu.Lock()
	defer r.watch.mu.Unlock()
	for i, c := range r.commits {
		var published []manifest.OperationID
		for _, op := range c.armed {
			if o, ok := st.Outcome(op); ok && o.Kind == manifest.KindPublish {
				published = append(published, op)
			}
		}
		if len(published) > 0 {
			c.decided = published[0]
		}
		say := func(format string, args ...any) {
			r.watch.violate(Told, "", "commit %d of tables %v: "+format, append([]any{i + 1, c.tables}, args...)...)
		}
		switch {
		case len(published) > 1:
			say("it was published %d times, as %v", len(published), published)
		case c.answer.word == "ok" && len(published) == 0:
			say("the writer said ok %s, and no operation of it was published", c.answer.op)
		case c.answer.word == "ok" && c.answer.op != "" && c.answer.op != published[0]:
			say("the writer said ok %s, and %s was published", c.answer.op, published[0])
		case c.answer.word == "failed" && len(published) > 0:
			say("the writer said failed, and operation %s was published", published[0])
		}
	}
	return nil
}

// reads asks the writer for each table. What was published last is what it has; or
// something in doubt since then, which a store with a log of its own may hold.
func (r *run) reads(ctx context.Context) error {
	for _, table := range []string{"a", "b"} {
		may := []json.RawMessage{nil}
		for _, c := range r.commits {
			switch {
			case !slices.Contains(c.tables, table):
			case c.decided != "":
				may = []json.RawMessage{c.value}
			case c.doubt():
				may = append(may, c.value)
			}
		}
		got, err := r.writer.read(ctx, table)
		if err != nil {
			return wrong(Speaks, "%v", err)
		}
		if !slices.ContainsFunc(may, func(v json.RawMessage) bool { return same(v, got) }) {
			r.watch.mu.Lock()
			r.watch.violate(Reads, "", "table %s reads %s, want %s", table, show(got), show(may[0]))
			r.watch.mu.Unlock()
		}
	}
	return nil
}

// same compares two values as JSON.
func same(a, b json.RawMessage) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, err1 := json.Marshal(x)
	q, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && bytes.Equal(p, q)
}

func show(v json.RawMessage) string {
	if v == nil {
		return "none"
	}
	return string(v)
}
