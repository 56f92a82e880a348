// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/internal/failpoint"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// Trail is what recovery needs of the audit trail; *audit.Log is one.
type Trail interface {
	Head(ctx context.Context) (audit.Head, error)
	AppendOnce(ctx context.Context, row audit.Row, since audit.Head) (audit.Appended, error)
	Find(ctx context.Context, operation string, since audit.Head) (audit.Row, bool, error)
}

// RecovererOptions says who recovers. Process is required.
type RecovererOptions struct {
	// Process names this recoverer in the entries that it publishes.
	Process manifest.ProcessID
	// Actor is whose name stands in the audit row. Default "salvor:recovery".
	Actor string
	// Attempts bounds how often one pass observes again after it lost a race.
	// Default 5.
	Attempts int
	// Head is the end of the trail, of a caller that has just asked for it: the first
	// recovery does not ask again. nil: it asks.
	Head *audit.Head
	// Formats of the kinds whose effects readers see before the manifest names them.
	Formats map[WriterKind]Format
	// Now is the clock that the write lock of a roll-back begins by. Default time.Now.
	Now func() time.Time
	// Sleep waits d or until ctx ends. Default a timer.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Recoverer finishes or closes what writers left pending in one root. It is safe
// for concurrent use; any number of recoverers, in any number of processes, may
// work on one sidecar: the manifest decides.
type Recoverer struct {
	m     *manifest.Store
	b     objstore.Bucket
	trail Trail
	opt   RecovererOptions

	asking chan struct{} // holds one token: of a crowd, one asks for the head

	mu sync.Mutex
	// head is the newest row of the trail that this recoverer knows; every
	// publication carries it, so that a cut tail shows.
	head  audit.Head
	epoch manifest.Epoch // under which this process undoes; zero until it has to
	// asked: head was asked for; the zero head is that of an empty trail.
	asked bool
}

// known returns the newest head that this recoverer knows, asking once.
func (r *Recoverer) known(ctx context.Context) (manifest.ChainHead, error) {
	if h, ok := r.remembered(); ok {
		return h, nil
	}
	select {
	case <-r.asking:
		defer func() { r.asking <- struct{}{} }()
	case <-ctx.Done():
		return manifest.ChainHead{}, fmt.Errorf("find the end of the audit trail: %w", context.Cause(ctx))
	}
	if h, ok := r.remembered(); ok {
		return h, nil
	}
	h, err := r.trail.Head(ctx)
	if err != nil {
		return manifest.ChainHead{}, fmt.Errorf("find the end of the audit trail: %w", err)
	}
	r.learn(h)
	return manifest.ChainHead{Number: h.Number, Hash: h.Hash}, nil
}

// publish publishes, with the newest head that this recoverer knows: the rows that it
// has written are anchored by whatever it publishes next.
func (r *Recoverer) publish(ctx context.Context, entries ...manifest.Entry) (manifest.Published, error) {
	return r.publishAs(ctx, r.publisher(), entries...)
}

func (r *Recoverer) publishAs(ctx context.Context, by manifest.Publisher, entries ...manifest.Entry) (manifest.Published, error) {
	head, _ := r.remembered()
	return r.m.Publish(ctx, manifest.Publication{By: by, Entries: entries, Head: head})
}

func (r *Recoverer) remembered() (_ manifest.ChainHead, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return manifest.ChainHead{Number: r.head.Number, Hash: r.head.Hash}, r.asked
}

func (r *Recoverer) learn(h audit.Head) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = true
	if h.Number > r.head.Number {
		r.head = h
	}
}

// NewRecoverer returns a recoverer for the root of m.
func NewRecoverer(m *manifest.Store, trail Trail, opt RecovererOptions) *Recoverer {
	if opt.Actor == "" {
		opt.Actor = "salvor:recovery"
	}
	if opt.Attempts == 0 {
		opt.Attempts = 5
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Sleep == nil {
		opt.Sleep = objstore.Sleep
	}
	r := &Recoverer{m: m, b: m.Bucket(), trail: trail, opt: opt, asking: make(chan struct{}, 1)}
	r.asking <- struct{}{}
	if opt.Head != nil {
		r.learn(*opt.Head)
	}
	return r
}

func (r *Recoverer) now() time.Time { return r.opt.Now() }

// Recover takes one pending sidecar, by the name under which it was listed, as
// far as authority allows. A second call after it is complete does nothing.
//
// A refusal, a deferral and a need for approval are reports, not errors: they
// are what the state says. An error is a request that failed or an answer that
// stayed lost; the sidecar is kept, and the next pass observes again.
func (r *Recoverer) Recover(ctx context.Context, key string, a Authority) (Report, error) {
	return r.RecoverRead(ctx, key, nil, a)
}

// RecoverRead is Recover for a sidecar that the caller has just read under this
// key; nil: it was not read. A sidecar never changes, so a read is saved.
//
// The first look takes the manifest as it is remembered, which saves another: what
// is decided on it counts only by a publication, and that finds out. Whatever is
// done without a publication is done after a look that asked.
func (r *Recoverer) RecoverRead(ctx context.Context, key string, s *Sidecar, a Authority) (Report, error) {
	rep := Report{Key: key, Operation: Listed{Key: key}.Operation()}
	word, _, spoken := asWord(a)
	asked, sure := spoken, false
	for lost := 0; lost < r.opt.Attempts; {
		if s == nil || asked {
			var err error
			s, err = Get(ctx, r.b, key)
			switch {
			case errors.Is(err, objstore.ErrNotFound):
				return r.litter(ctx, rep, a)
			case IsUnreadable(err):
				return refuse(rep, err), nil
			case err != nil:
				return rep, fmt.Errorf("read sidecar: %w", err)
			}
		}
		rep.Sidecar, rep.Operation = s, s.Operation
		o, err := r.observe(ctx, s, asked)
		if IsUnreadable(err) {
			return refuse(rep, err), nil
		}
		if err != nil {
			return rep, err
		}
		if spoken {
			if err := r.beside(ctx, o, word.Word); err != nil {
				return rep, err
			}
		}
		c := Classify(o)
		v := Decide(o, c, a)
		if !asked && v.Decision != RollForward && v.Decision != Abandon {
			asked = true
			continue
		}
		if !sure && v.Decision == Refuse && len(o.Tables) > 0 {
			// The manifest was read before the tables: what explains them may stand in it by now.
			sure = true
			continue
		}
		rep.Phase, rep.Class, rep.Verdict, rep.Outcome, rep.Tables = c.Phase, c.Worst, v, o.Outcome, tableReports(o, c)
		if spoken && o.Outcome == nil {
			rep.PlanHash = wordHash(o, c, word.Word)
		}
		failpoint.Here(failpoint.RecoveryObserved)
		again, err := r.apply(ctx, &rep, o, a)
		if err != nil || !again {
			return rep, err
		}
		asked, lost = true, lost+1
	}
	rep.Verdict = Verdict{Defer, ReasonContention, fmt.Sprintf("lost %d races to other publications; the next pass goes on", r.opt.Attempts)}
	return rep, nil
}

// Litter deletes the companions of a listed name of which nothing else was listed,
// if a get says that the sidecar is gone too. It decides nothing.
func (r *Recoverer) Litter(ctx context.Context, l Listed) error {
	if !l.Lone {
		return nil
	}
	_, err := r.b.Get(ctx, l.Key)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return deleteSidecar(ctx, r.b, l.Companions)
	case err != nil:
		return fmt.Errorf("look for sidecar %s: %w", l.Key, err)
	}
	return nil // the listing was outdated
}

// litter deletes the companions of a sidecar that a get says is gone: the sidecar
// goes last, so they belong to a finished operation.
func (r *Recoverer) litter(ctx context.Context, rep Report, a Authority) (Report, error) {
	if _, looks := a.(Probe); !looks && rep.Operation.Validate() == nil {
		if err := deleteSidecar(ctx, r.b, []string{rep.Key + confirmedSuffix, rep.Key + planSuffix}); err != nil {
			return rep, err
		}
	}
	rep.Gone, rep.Complete = true, true
	return rep, nil
}

func refuse(rep Report, err error) Report {
	var newer *envelope.FormatError
	rep.Verdict = Verdict{Refuse, ReasonMalformed, err.Error() + ": restore the object from a copy, or delete it when its writer is known to have finished"}
	if errors.As(err, &newer) {
		rep.Verdict = Verdict{Refuse, ReasonNewerFormat, err.Error()}
	}
	return rep
}
