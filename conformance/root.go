// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
)

// Report is what a look at a root at rest found.
type Report struct {
	Store   string           `json:"store"`
	Newest  manifest.Version `json:"newest"`
	Objects int              `json:"objects"`
	Pending int              `json:"pending"`

	Violations []Violation `json:"violations"`
}

// CheckRoot looks at every object of a root that nobody writes to meanwhile, and
// changes nothing. progress may be nil. An error says that it could not look.
func CheckRoot(ctx context.Context, b objstore.Bucket, progress func(done string)) (*Report, error) {
	if progress == nil {
		progress = func(string) {}
	}
	c := &check{b: b, Report: Report{Violations: []Violation{}}, attempts: map[string]string{}, outcomes: map[string]string{}, made: map[string]string{}}
	v, err := manifest.Verify(ctx, b, manifest.VerifyOptions{Deep: true, Progress: progress})
	if err != nil {
		return nil, err
	}
	c.Store, c.Newest = v.Store, v.Newest
	for _, p := range v.Problems {
		c.violate(ruleOf(p), p.Key, "%s", p.Detail)
	}
	if err := c.replay(ctx, v.First); err != nil {
		return nil, err
	}
	for e, err := range b.List(ctx, "", "") {
		if err != nil {
			return nil, fmt.Errorf("list the root: %w", err)
		}
		c.Objects++
		progress(fmt.Sprintf("%d objects", c.Objects))
		if err := c.object(ctx, e.Key); err != nil {
			return nil, err
		}
	}
	return &c.Report, nil
}

// ruleOf tells which rule a problem of the manifest breaks.
func ruleOf(p manifest.Problem) Rule {
	switch {
	case strings.HasPrefix(p.Key, manifest.TablePrefix):
		return Publish
	case p.Defect == manifest.Unreadable:
		return Envelope
	case strings.HasPrefix(p.Key, manifest.CheckpointPrefix):
		return FullState
	case p.Defect == manifest.Contradiction:
		return FirstOne
	}
	return Line
}

type check struct {
	b objstore.Bucket
	Report
	attempts map[string]string // attempt id: the object that has it
	outcomes map[string]string // outcome id: the object that has it
	made     map[string]string // operation and table: the version that it made
}

func (c *check) violate(r Rule, key, detail string, args ...any) {
	c.Violations = append(c.Violations, Violation{r, key, fmt.Sprintf(detail, args...)})
}

// once notes an id, and complains when it was there.
func (c *check) once(seen map[string]string, what, id, key string) {
	if id == "" {
		return
	}
	if first, ok := seen[id]; ok && first != key {
		c.violate(IDsOnce, key, "%s %s is that of %s", what, id, first)
	}
	seen[id] = key
}

// replay asks of every publication whether it was admissible.
func (c *check) replay(ctx context.Context, first manifest.Version) error {
	id, err := manifest.ReadIdentity(ctx, c.b)
	if err != nil {
		return err
	}
	st := manifest.NewState(id.UID)
	st.Claimant = id.Claimant
	if first > 0 {
		o, err := c.b.Get(ctx, manifest.CheckpointKey(first))
		if err != nil {
			return fmt.Errorf("read checkpoint: %w", err)
		}
		if st, err = manifest.DecodeCheckpoint(o.Key, o.Body); err != nil {
			return nil // said by Verify
		}
	}
	for {
		key := manifest.Key(st.Version + 1)
		o, err := c.b.Get(ctx, key)
		if errors.Is(err, objstore.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read publication: %w", err)
		}
		b, digest, err := manifest.DecodeBatch(key, o.Body)
		if err != nil {
			return nil // said by Verify
		}
		for _, v := range admissible(st, b) {
			c.violate(v.Rule, key, "%s", v.Detail)
		}
		c.once(c.attempts, "attempt id", b.Attempt, key)
		for i := range b.Entries {
			c.once(c.outcomes, "outcome id", b.Entries[i].OutcomeID, key+"#"+fmt.Sprint(i))
		}
		if st, err = manifest.Apply(st, b, digest); err != nil {
			return nil // said by Verify
		}
	}
}

// admissible reports what in a publication the state before it does not admit.
func admissible(st *manifest.State, b *manifest.Batch) (out []Violation) {
	say := func(r Rule, format string, args ...any) {
		out = append(out, Violation{Rule: r, Detail: fmt.Sprintf(format, args...)})
	}
	switch {
	case b.Attempt == "":
		say(Line, "it has no attempt id")
	case len(b.Entries) == 0:
		say(Line, "it has no entries")
	case b.Format != st.Level() && !raises(b):
		say(Newer, "it is in format %d, the store's level is %d", b.Format, st.Level())
	case b.By.Role == manifest.RoleWriter && (b.By.Writer == "" || b.By.Process == "" || b.By.Process != b.By.Epoch.Process):
		say(Line, "its publisher is a writer, and names no writer, process and epoch that belong together: %+v", b.By)
	}
	if _, err := manifest.Admit(st, manifest.Publication{By: b.By, Entries: b.Entries, Head: b.Head}); err != nil {
		rule := Admission
		if _, ok := manifest.AsDecided(err); ok {
			rule = FirstOne
		} else if errors.Is(err, manifest.ErrFenced) {
			rule = Fenced
		}
		say(rule, "the state before it does not admit it: %v", err)
	}
	return out
}

func raises(b *manifest.Batch) bool {
	for i := range b.Entries {
		if b.Entries[i].Kind == manifest.KindFormat {
			return true
		}
	}
	return false
}

// object looks at one object by its name.
func (c *check) object(ctx context.Context, key string) error {
	kind, ok := kindOf(key)
	if !ok {
		c.violate(Names, key, "no object has this name")
		return nil
	}
	if kind == "" {
		return nil
	}
	o, err := c.b.Get(ctx, key)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if kind != versionPart || strings.HasPrefix(string(o.Body[:min(7, len(o.Body))]), "salvor ") {
		h, at, err := envelope.ParseHeader(o.Body)
		switch {
		case err != nil:
			c.violate(Envelope, key, "%v", err)
			return nil
		case kind != version && kind != versionPart && h.Kind != kind:
			c.violate(Envelope, key, "it is of kind %q, its name says %q", h.Kind, kind)
			return nil
		case envelope.Digest(o.Body[at:]) != h.Digest:
			c.violate(Envelope, key, "its body is not the one that its first line names")
			return nil
		}
	}
	switch kind {
	case "sidecar":
		return c.sidecar(ctx, key, o.Body)
	case version:
		table, _, op, _ := manifest.ParseTableKey(key)
		c.once(c.made, "a version of operation and table", string(op)+" "+string(table), key)
	}
	return nil
}

// sidecar looks at an operation that is not finished.
func (c *check) sidecar(ctx context.Context, key string, raw []byte) error {
	c.Pending++
	s, err := recovery.DecodeSidecar(raw)
	switch {
	case err != nil:
		c.violate(Plan, key, "%v", err)
		return nil
	case recovery.SidecarKey(s.Operation) != key:
		c.violate(Plan, key, "it says that it is of operation %s", s.Operation)
	case s.Store != c.Store:
		c.violate(Plan, key, "it says that it is of store %s, this is %s", s.Store, c.Store)
	case s.Base > c.Newest:
		c.violate(Plan, key, "its base is %d, the newest publication %d", s.Base, c.Newest)
	}
	c.once(c.attempts, "attempt id", s.Attempt, key)
	o, err := c.b.Get(ctx, recovery.ConfirmedKey(s.Operation))
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read confirmation: %w", err)
	}
	for _, v := range confirmed(ctx, c.b, s, o.Body) {
		c.violate(v.Rule, o.Key, "%s", v.Detail)
	}
	return nil
}
