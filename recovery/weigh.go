// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// Weighed is what a person has to know before giving a word, and what the word will
// be about.
type Weighed struct {
	Word Word
	// Open would be decided by the word; Closed are decided already, and only have to be
	// recorded; Refused say in their verdicts who or what stands in the way.
	Open, Closed, Refused []Report
	// Unread are objects that cannot be read: nobody can say whose they are.
	Unread []string
	// Hash names all of Open: it is what one agrees to. Empty: there is nothing to agree to.
	Hash PlanHash

	forward RollForwardOnly
}

// ErrNotAgreed: what was agreed to is not what is there, or something stands in the
// way. Nothing was done.
var ErrNotAgreed = errors.New("nothing was done")

// NotPendingError says that an operation waits for nobody's word.
type NotPendingError struct {
	Operation manifest.OperationID
	// Outcome that the manifest remembers; nil: it knows none.
	Outcome *manifest.Outcome
}

// Error implements error.
func (e *NotPendingError) Error() string {
	if e.Outcome == nil {
		return fmt.Sprintf("operation %s is not pending, and the manifest remembers no outcome of it: look in the audit trail", e.Operation)
	}
	return fmt.Sprintf("operation %s is not pending: %s in manifest %d by %s", e.Operation, e.Outcome.Kind, e.Outcome.Version, e.Outcome.By.Role)
}

// WeighDemotion looks at everything that a writer left. Nothing is written.
func (r *Recoverer) WeighDemotion(ctx context.Context, writer manifest.WriterID, may RollForwardOnly) (*Weighed, error) {
	listed, err := List(ctx, r.b)
	if err != nil {
		return nil, err
	}
	w := &Weighed{Word: Demote, forward: may}
	for _, l := range listed {
		if l.Lone {
			continue
		}
		s, err := Get(ctx, r.b, l.Key)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			continue // finished meanwhile
		case IsUnreadable(err):
			w.Unread = append(w.Unread, l.Key)
			continue
		case err != nil:
			return nil, fmt.Errorf("read sidecar %s: %w", l.Key, err)
		}
		if s.Writer != writer {
			continue
		}
		if _, err := r.weigh(ctx, w, l.Key); err != nil {
			return nil, err
		}
	}
	w.Hash = w.hash()
	return w, nil
}

// WeighPromotion looks at one operation. Nothing is written. *NotPendingError: its
// sidecar is gone.
func (r *Recoverer) WeighPromotion(ctx context.Context, op manifest.OperationID, may RollForwardOnly) (*Weighed, error) {
	if err := op.Validate(); err != nil {
		return nil, err
	}
	w := &Weighed{Word: Promote, forward: may}
	rep, err := r.weigh(ctx, w, SidecarKey(op))
	if err != nil {
		return nil, err
	}
	if rep.Gone {
		e := &NotPendingError{Operation: op}
		st, err := r.m.Latest(ctx)
		if err != nil {
			return nil, err
		}
		if o, ok := st.Outcome(op); ok {
			e.Outcome = &o
		}
		return nil, e
	}
	w.Hash = w.hash()
	return w, nil
}

func (r *Recoverer) weigh(ctx context.Context, w *Weighed, key string) (Report, error) {
	rep, err := r.Recover(ctx, key, Probe{As: OnWord{Word: w.Word, Forward: w.forward}})
	switch {
	case err != nil, rep.Gone:
		return rep, err
	case rep.Outcome != nil && rep.Verdict.Decision == Converge && (w.Word == Demote || rep.Outcome.Kind == manifest.KindPublish):
		w.Closed = append(w.Closed, rep)
	case rep.Verdict.Decision == Abandon, rep.Verdict.Decision == RollForward:
		w.Open = append(w.Open, rep)
	default:
		w.Refused = append(w.Refused, rep)
	}
	return rep, nil
}

func (w *Weighed) hash() PlanHash {
	if len(w.Open) == 0 || len(w.Refused) > 0 {
		return ""
	}
	var all []string
	for _, rep := range w.Open {
		if rep.PlanHash == "" {
			return ""
		}
		all = append(all, string(rep.PlanHash))
	}
	slices.Sort(all)
	return PlanHash(envelope.Digest([]byte(w.Word.String() + "\n" + strings.Join(all, "\n"))))
}

// Carry does what was agreed to, all of it or nothing: first it compares the hash that
// the approver has seen with what w says, and then each operation is looked at once
// more by the walk that decides it. A crash leaves sidecars; what was decided has the
// approver in its entry, and whoever recovers next records it under that name.
//
// The reports say what became of each; one whose outcome is another's was decided by
// somebody who was faster. Errors: ErrNotAgreed, and those of Recover.
func (r *Recoverer) Carry(ctx context.Context, w *Weighed, agreed PlanHash, approver string) ([]Report, error) {
	switch {
	case len(w.Refused) > 0:
		return nil, fmt.Errorf("%w: operation %s: %s", ErrNotAgreed, w.Refused[0].Operation, w.Refused[0].Verdict.Message)
	case len(w.Open) > 0 && (agreed == "" || agreed != w.Hash):
		return nil, fmt.Errorf("%w: what was agreed to is %q, what is there is %q", ErrNotAgreed, agreed, w.Hash)
	case len(w.Open) > 0 && approver == "":
		return nil, fmt.Errorf("%w: nobody says that it is their word", ErrNotAgreed)
	}
	var out []Report
	for _, rep := range append(slices.Clone(w.Closed), w.Open...) {
		done, err := r.Recover(ctx, rep.Key, OnWord{Word: w.Word, Forward: w.forward, Agreed: rep.PlanHash, Approver: approver})
		if err != nil {
			return out, err
		}
		out = append(out, done)
	}
	return out, nil
}

// beside adds to an observation what only a person's word depends on: who holds the
// store by the object store's date, and who else pends on the operation's tables.
func (r *Recoverer) beside(ctx context.Context, o *Observation, word Word) error {
	if o.Outcome != nil || o.ForeignStore {
		return nil
	}
	st := r.m.View()
	if st.Lock != nil {
		date, err := r.m.Date(ctx)
		if err != nil {
			return fmt.Errorf("ask the object store for its date: %w", err)
		}
		if date.Before(st.Lock.Until) {
			o.Lock = st.Lock
		}
	}
	if word != Promote {
		return nil
	}
	listed, err := List(ctx, r.b)
	if err != nil {
		return err
	}
	for _, l := range listed {
		if l.Lone || l.Operation() == o.Sidecar.Operation {
			continue
		}
		s, err := Get(ctx, r.b, l.Key)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			continue
		case IsUnreadable(err): // it may be of any table
			o.Rivals = append(o.Rivals, Rival{Operation: l.Operation()})
			continue
		case err != nil:
			return fmt.Errorf("read sidecar %s: %w", l.Key, err)
		}
		if _, decided := st.Outcome(s.Operation); decided || s.Operation == o.Sidecar.Operation {
			continue
		}
		for _, p := range s.Tables {
			if slices.ContainsFunc(o.Sidecar.Tables, func(t TablePlan) bool { return t.Table == p.Table }) {
				o.Rivals = append(o.Rivals, Rival{s.Operation, s.Writer, p.Table})
				break
			}
		}
	}
	return nil
}
