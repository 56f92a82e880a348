// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// publish makes the operation visible and deletes its sidecar, or follows what
// was decided about it meanwhile. Under a current epoch nobody else decides, and
// the manifest refuses an operation that is decided: trying again is safe, as long as
// the manifest's list of outcomes reaches back to where the operation started.
func (w *Writer) publish(ctx context.Context, s *Sidecar, c *Confirmed) (manifest.Version, bool, error) {
	p := manifest.Publication{By: w.publisher(s.Epoch), Entries: []manifest.Entry{publishEntry(s, c)}}
	for deadline := w.opt.Now().Add(w.opt.Await); ; {
		pub, err := w.m.Publish(ctx, p)
		switch o, decided := manifest.AsDecided(err); {
		case err == nil:
			failpoint.Here(failpoint.WriterPublished)
			w.cleanUp(ctx, s)
			return pub.Version, false, nil
		case decided:
			return w.follow(ctx, s, o)
		case isTrimmed(err):
			return w.search(ctx, s, err)
		case manifest.IsMismatch(err):
			return w.retreat(ctx, s, err, p.Unsure)
		case errors.Is(err, manifest.ErrFenced):
			return w.giveUp(ctx, s, err)
		}
		p.Unsure = p.Unsure || errors.Is(err, manifest.ErrUnknown)
		if w.opt.Now().After(deadline) || w.opt.Sleep(ctx, w.opt.Poll) != nil {
			var locked *manifest.LockedError
			if errors.As(err, &locked) { // refused for certain: nothing has to be waited for
				return w.retreat(ctx, s, err, p.Unsure)
			}
			return w.giveUp(ctx, s, err)
		}
	}
}

// retreat closes an own operation some of whose effects may be there. Where readers
// see them it is not for the writer to say that they are not: recovery undoes them.
func (w *Writer) retreat(ctx context.Context, s *Sidecar, why error, unsure bool) (manifest.Version, bool, error) {
	if TraitsOf(s.Kind).Visible {
		return w.giveUp(ctx, s, why)
	}
	return w.withdraw(ctx, s, why, unsure)
}

// withdraw closes an own operation by an own entry, under an epoch that is still
// current, and then deletes the sidecar. A plain delete would leave a recoverer
// that had read the sidecar with an entry and no row. unsure: it may be published.
func (w *Writer) withdraw(ctx context.Context, s *Sidecar, why error, unsure bool) (manifest.Version, bool, error) {
	_, err := w.m.Publish(ctx, manifest.Publication{
		By: w.publisher(s.Epoch), Entries: []manifest.Entry{abandonEntry(s, "Withdrawn")}, Unsure: unsure,
	})
	switch o, decided := manifest.AsDecided(err); {
	case err == nil:
		w.cleanUp(ctx, s)
		return 0, false, fmt.Errorf("operation %s: %w: %w", s.Operation, ErrFailed, why)
	case decided:
		return w.follow(ctx, s, o)
	case isTrimmed(err):
		return w.search(ctx, s, errors.Join(why, err))
	default:
		return w.giveUp(ctx, s, errors.Join(why, err))
	}
}

// search looks for the outcome of an operation that may have been published: the
// answer was lost, and before it was asked for again a recoverer finished the
// operation, removed its sidecar, and the list of outcomes was cut off behind it. The
// publications themselves are kept for longer.
func (w *Writer) search(ctx context.Context, s *Sidecar, why error) (manifest.Version, bool, error) {
	for v := s.Base + 1; v <= w.m.View().Version; v++ {
		b, err := w.m.Batch(ctx, v)
		if err != nil {
			return w.giveUp(ctx, s, errors.Join(why, err))
		}
		for _, e := range b.Entries {
			switch e.Kind {
			case manifest.KindPublish, manifest.KindAbandon, manifest.KindRollBack:
				if e.Operation == s.Operation {
					return w.follow(ctx, s, manifest.Outcome{Operation: s.Operation, Kind: e.Kind, Version: v, By: b.By})
				}
			}
		}
	}
	return w.giveUp(ctx, s, why)
}

// giveUp is for what this process cannot decide any more: it was fenced, or an
// answer stayed lost. It does not guess and does not issue the operation again:
// it waits for the outcome entry, and says that recovery may take the sidecar.
func (w *Writer) giveUp(ctx context.Context, s *Sidecar, why error) (manifest.Version, bool, error) {
	w.mark(s.Operation, false, true)
	for deadline := w.opt.Now().Add(w.opt.Await); ; {
		st, err := w.m.Latest(ctx)
		if err == nil {
			if o, ok := st.Outcome(s.Operation); ok {
				return w.follow(ctx, s, o)
			}
		}
		if w.opt.Now().After(deadline) || w.opt.Sleep(ctx, w.opt.Poll) != nil {
			return 0, false, fmt.Errorf("operation %s: %w: %w", s.Operation, manifest.ErrUnknown, errors.Join(why, err))
		}
	}
}

// follow does what the outcome entry says. Only the process that the entry names
// as its publisher deletes the sidecar; what recovery published, recovery audits
// and deletes.
func (w *Writer) follow(ctx context.Context, s *Sidecar, o manifest.Outcome) (manifest.Version, bool, error) {
	own := o.By.Role == manifest.RoleWriter && o.By.Process == w.opt.Process
	if own {
		w.cleanUp(ctx, s)
	} else {
		w.mark(s.Operation, false, true)
	}
	if o.Kind == manifest.KindPublish {
		return o.Version, !own, nil
	}
	word := "abandoned"
	if o.Kind == manifest.KindRollBack {
		word = "rolled back"
	}
	return o.Version, !own, fmt.Errorf("operation %s: %w: %s in manifest %d by %s", s.Operation, ErrFailed, word, o.Version, o.By.Role)
}

// cleanUp deletes a finished operation's sidecar. A delete that fails is not the
// client's business: the next look finds the sidecar and deletes it again.
func (w *Writer) cleanUp(ctx context.Context, s *Sidecar) {
	err := w.delete(ctx, s.Operation)
	w.mark(s.Operation, false, err != nil)
}

func (w *Writer) delete(ctx context.Context, op manifest.OperationID) error {
	return deleteSidecar(ctx, w.b, []string{ConfirmedKey(op), SidecarKey(op)})
}

// deleteSidecar deletes in this order: the sidecar itself is the to-do list, so
// it goes last.
func deleteSidecar(ctx context.Context, b objstore.Bucket, keys []string) error {
	for _, k := range keys {
		if err := b.Delete(ctx, k); err != nil {
			return fmt.Errorf("delete %s: %w", k, err)
		}
	}
	return nil
}

func publishEntry(s *Sidecar, c *Confirmed) manifest.Entry {
	e := manifest.Entry{
		Kind: manifest.KindPublish, Operation: s.Operation, Writer: s.Writer, Epoch: s.Epoch,
		Base: s.Base, OutcomeID: s.Outcomes.Publish,
	}
	for _, p := range s.Tables {
		change := manifest.Change{Table: p.Table, Expected: p.Expected}
		if r, ok := c.reached(p.Table); ok && !p.Drop {
			change.To = &manifest.Pin{
				Ref:    manifest.Ref{Number: r.Number, Operation: s.Operation},
				Digest: r.Digest, Position: p.Position,
			}
		}
		e.Tables = append(e.Tables, change)
	}
	return e
}

func abandonEntry(s *Sidecar, reason string) manifest.Entry {
	return manifest.Entry{
		Kind: manifest.KindAbandon, Operation: s.Operation, Writer: s.Writer, Epoch: s.Epoch,
		Base: s.Base, OutcomeID: s.Outcomes.Abandon, Reason: reason,
	}
}
