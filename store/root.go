// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store/log/mirror"
)

// root is the store's root, reached, with an epoch registered in it.
type root struct {
	manifest  *manifest.Store
	writer    *recovery.Writer
	recoverer *recovery.Recoverer // nil: an operator recovers
	// readBack are the pinned versions that were read and found good. Under reading.
	reading  sync.Mutex
	readBack map[string]manifest.Ref
	// history is what the mirror had when the root was reached; inventory what was listed.
	// Only who starts and keeps the store uses them.
	history   mirror.History
	inventory *mirror.Inventory
	// settled: what pended when the process started was recovered. Only the
	// checkpoint loop uses it.
	settled bool
	// here are the processes that have used this data directory.
	here []manifest.ProcessID
	// contained are the versions whose rows this process has: loaded, or published
	// by it. Only the checkpoint loop uses it.
	contained map[manifest.TableID]manifest.Ref
}

// attach reaches the root and registers. It may be called again after a failure.
func (s *Store) attach(ctx context.Context) (*root, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.RootTimeout)
	defer cancel()
	b, err := s.opt.OpenRoot(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the root: %w", err)
	}
	m, here, err := s.identify(ctx, b)
	if err != nil {
		return nil, err
	}
	r := &root{manifest: m, here: here.Processes, readBack: map[string]manifest.Ref{}, contained: map[manifest.TableID]manifest.Ref{}}
	r.writer = recovery.NewWriter(m, recovery.WriterOptions{
		ID: s.opt.Writer, Process: s.opt.Process, NewID: s.opt.NewID,
		Now: s.opt.Now, Sleep: s.opt.Sleep, Await: s.opt.Await, Poll: s.opt.Poll,
		Changed: s.signal.Notify,
	})
	if s.opt.Keyring != nil {
		trail, err := audit.Open(b, "main", s.opt.Keyring, audit.Options{Recoverer: string(s.opt.Process), Now: s.opt.Now, Wait: s.opt.Sleep})
		if err != nil {
			return nil, err
		}
		r.recoverer = recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: s.opt.Process})
	}
	return r, r.writer.Register(ctx)
}

// identify makes sure that the root keeps its promises and is the one that the
// data directory belongs to, and makes an empty one a store.
func (s *Store) identify(ctx context.Context, b objstore.Bucket) (*manifest.Store, belonging, error) {
	here, err := readBelonging(s.opt.FS, s.opt.Dir, s.opt.Writer)
	if err != nil {
		return nil, here, err
	}
	id, err := manifest.ReadIdentity(ctx, b)
	if refused := here.admits(id, err); refused != nil {
		return nil, here, refused
	}
	if err != nil && !errors.Is(err, manifest.ErrNoStore) {
		return nil, here, err
	}
	if !here.Probed { // nothing is published before
		if err := objstore.Probe(ctx, b, "probe/"+s.opt.NewID()+"/"); err != nil {
			return nil, here, err
		}
	}
	if err != nil {
		if id, err = manifest.CreateIdentity(ctx, b, s.opt.NewID(), s.opt.NewID(), nil); err != nil {
			return nil, here, err
		}
	}
	m, err := manifest.Open(ctx, b, manifest.Options{
		NewID: s.opt.NewID, Now: s.opt.Now, Sleep: s.opt.Sleep, Jitter: s.opt.Jitter, Resolve: min(s.opt.Await, 15*time.Second),
	})
	if err != nil {
		return nil, here, err
	}
	if here.Store == id.UID && here.Probed && slices.Contains(here.Processes, s.opt.Process) {
		return m, here, nil
	}
	here.Store, here.Probed = id.UID, true
	here.ran(s.opt.Process) // before it can arm an operation
	return m, here, here.write(s.opt.FS, s.opt.Dir)
}

// own returns the pins of this writer's tables by name, and the newest position
// that they cover. Everything up to it is published: a checkpoint takes all tables
// that changed, at one position.
func (s *Store) own(st *manifest.State) (map[string]manifest.Pin, manifest.Position) {
	pins, covered := map[string]manifest.Pin{}, manifest.Position(0)
	for id, pin := range st.Tables {
		if name, ok := s.names.owned(id); ok {
			pins[name] = pin
			covered = max(covered, pin.Position)
		}
	}
	return pins, covered
}

// isRefusal reports whether the root was reached and is not to be used as it is.
// Everything else is a root that cannot be reached, for now.
func isRefusal(err error) bool {
	var (
		identity *manifest.IdentityError
		object   *manifest.ObjectError
		newer    *envelope.FormatError
		probe    *objstore.ProbeError
		gap      *GapError
		pending  *PendingError
		diverged *DivergedError
	)
	return errors.As(err, &identity) || errors.As(err, &object) || errors.As(err, &newer) || errors.As(err, &gap) || errors.As(err, &pending) || errors.As(err, &diverged) ||
		errors.As(err, &probe) && probe.Why != objstore.Unreachable || mirror.IsDefect(err)
}
