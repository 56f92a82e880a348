// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/salvor-io/salvor/manifest"
)

// Policy is what a store allows to be undone without a person.
type Policy string

// The policies. The words stand in WALStores: never rename one.
const (
	// Never: what readers can see is never undone by salvor.
	Never Policy = "Never"
	// OnApproval: only a plan whose hash a person has approved.
	OnApproval Policy = "OnApproval"
	// Automatic: every plan.
	Automatic Policy = "Automatic"
)

// Exclusive is the authority to undo what readers can see. Having one is not
// enough: right before each step that destroys something, a [Permit] made of it
// asks again for everything that makes it safe.
type Exclusive struct {
	// Forward is what its holder may do besides.
	Forward RollForwardOnly
	// Check asks whether the holder still is who may undo: the leader, by its Lease.
	// The library knows no Kubernetes. Required.
	Check func(context.Context) error
	// Policy of the store; the zero value is Never.
	Policy Policy
	// Approved is the plan that a person has approved, for OnApproval.
	Approved PlanHash
	// Approver is who that was. The audit row names them.
	Approver string
	// LockFor is how long the write lock lasts at most if its holder dies. Default 5 minutes.
	LockFor time.Duration
}

func (Exclusive) authority() {}

// allows reports whether the policy lets this plan be carried out.
func (e Exclusive) allows(h PlanHash) bool {
	return e.Policy == Automatic || e.Policy == OnApproval && h != "" && e.Approved == h
}

// ErrNotExclusive: what makes an undo safe is not there (any more). Nothing was
// undone since; the next pass begins by asking for all of it.
var ErrNotExclusive = manifest.ErrNotExclusive

// Permit is the right to undo one operation. Only this package makes one, from an
// [Exclusive] and for one roll-back: code that acts automatically has none, and
// does not compile against what needs one.
type Permit struct {
	r    *Recoverer
	ex   Exclusive
	s    *Sidecar
	by   manifest.Publisher // the recoverer and its epoch
	lock string             // its owner id
	// fenced is a version at which the epoch of the operation was over.
	fenced manifest.Version
	plan   PlanHash
	// approver of the plan; empty when the policy asked nobody.
	approver string
}

// Check asks for everything again: the holder's leadership, the recoverer's epoch,
// the end of the writer's, the write lock, and the approval. It reads the newest
// manifest, so that what it answers was true after it was called. A Format calls it
// right before each write; no permit at all is refused too. Errors wrap
// ErrNotExclusive, or are the manifest's.
func (p *Permit) Check(ctx context.Context) error {
	if p == nil || p.r == nil {
		return fmt.Errorf("undo: %w: there is no permit", ErrNotExclusive)
	}
	no := func(format string, args ...any) error {
		return fmt.Errorf("undo operation %s: %w: %s", p.s.Operation, ErrNotExclusive, fmt.Sprintf(format, args...))
	}
	if p.ex.Check == nil {
		return no("nobody can say whether this process still is the leader")
	}
	if err := p.ex.Check(ctx); err != nil {
		return no("leadership: %v", err)
	}
	if !p.ex.allows(p.plan) {
		return no("policy %s does not allow plan %s", p.ex.Policy, p.plan)
	}
	st, err := p.r.m.Latest(ctx)
	if err != nil {
		return err
	}
	if p.fenced == 0 || st.Version < p.fenced || !st.Ended(p.s.Writer, p.s.Epoch) {
		return no("the epoch of writer %s is not ended", p.s.Writer)
	}
	return p.held(st)
}

// held asks a state whether this recoverer, and no later one, holds the write lock.
func (p *Permit) held(st *manifest.State) error {
	switch cur := st.Writers[manifest.Recoverer]; {
	case cur != p.by.Epoch:
		return fmt.Errorf("undo operation %s: %w: recoverer epoch %s is over, the manifest has %s", p.s.Operation, ErrNotExclusive, p.by.Epoch, cur)
	case st.Lock == nil || st.Lock.Owner != p.lock:
		return fmt.Errorf("undo operation %s: %w: the write lock is not held", p.s.Operation, ErrNotExclusive)
	}
	return nil
}

// lockOwner is who holds the write lock while an operation is undone: whoever does
// it. A recoverer that takes over from a dead one finds the lock its own; which of
// the two may go on is said by the epoch.
func lockOwner(op manifest.OperationID) string { return rollBackOwner + string(op) }

const rollBackOwner = "roll-back/"

// HoldsWriters reports whether a write lock asks for more than that nobody publishes: that
// nobody writes. That of a roll-back does not. It is there for what the manifest names, and
// what a log takes meanwhile goes out when it has ended.
func HoldsWriters(l *manifest.Lock) bool {
	return l != nil && !strings.HasPrefix(l.Owner, rollBackOwner)
}

// acquire makes a permit: it registers the recoverer, ends the epoch of the
// operation and takes the write lock. *manifest.LockedError: somebody else holds it.
func (r *Recoverer) acquire(ctx context.Context, s *Sidecar, ex Exclusive) (*Permit, error) {
	by, err := r.Reign(ctx)
	if err != nil {
		return nil, err
	}
	hold := ex.LockFor
	if hold <= 0 {
		hold = 5 * time.Minute
	}
	now := r.now()
	owner := lockOwner(s.Operation)
	pub, err := r.publishAs(ctx, by, manifest.Fence(s.Writer, s.Epoch),
		manifest.Entry{Kind: manifest.KindLock, Operation: s.Operation, Base: s.Base, Lock: &manifest.Lock{
			Owner: owner, Reason: "roll-back of operation " + string(s.Operation), Mode: manifest.Frozen, Since: now, Until: now.Add(hold),
		}})
	if err != nil {
		return nil, err
	}
	return &Permit{r: r, ex: ex, s: s, by: by, lock: owner, fenced: pub.State.Version}, nil
}

// release gives the write lock of an operation's roll-back back, if it is held: as by,
// whose epoch must not be over when it is a recoverer's. A successor's stays.
func (r *Recoverer) release(ctx context.Context, by manifest.Publisher, op manifest.OperationID) error {
	st := r.m.View()
	if st.Lock == nil || st.Lock.Owner != lockOwner(op) {
		return nil
	}
	_, err := r.m.Release(ctx, by, lockOwner(op))
	var notHeld *manifest.NotHeldError
	if errors.As(err, &notHeld) || errors.Is(err, manifest.ErrFenced) {
		return nil // it ended without us, or is another's by now
	}
	return err
}

// Reign registers this process as the one that undoes and locks, once. Whoever did before
// cannot undo any more.
func (r *Recoverer) Reign(ctx context.Context) (manifest.Publisher, error) {
	r.mu.Lock()
	held := r.epoch
	r.mu.Unlock()
	e, err := r.m.Register(ctx, manifest.Recoverer, r.opt.Process, held)
	if errors.Is(err, manifest.ErrSuperseded) {
		return manifest.Publisher{}, fmt.Errorf("%w: %w", ErrNotExclusive, err)
	}
	if err != nil {
		return manifest.Publisher{}, fmt.Errorf("register the recoverer: %w", err)
	}
	r.mu.Lock()
	r.epoch = e
	r.mu.Unlock()
	by := r.publisher()
	by.Writer, by.Epoch = manifest.Recoverer, e
	return by, nil
}
