// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// WriterOptions says who a writer is. ID, Process and NewID are required.
type WriterOptions struct {
	// ID names the writer across restarts; Process names this incarnation.
	ID      manifest.WriterID
	Process manifest.ProcessID
	// NewID returns a fresh unique id (a ULID, usually).
	NewID func() string
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Sleep waits d or until ctx ends. Default a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Await bounds how long a writer waits for the outcome of an operation that
	// somebody else decides. Default 30 s.
	Await time.Duration
	// Poll is how often it looks meanwhile. Default 200 ms.
	Poll time.Duration
	// Changed, if set, is called when Open or Abandoned has changed: before the
	// request that arms an operation, so that a status which goes out at once names
	// what a process had in hand when it died.
	Changed func()
}

func (o WriterOptions) withDefaults() WriterOptions {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = objstore.Sleep
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Await == 0 {
		o.Await = 30 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = 200 * time.Millisecond
	}
	return o
}

// Writer is the writer's side of the protocol: it publishes operations that
// recovery can finish or close if the process dies at any point. It is safe for
// concurrent use; its operations may overlap if their tables do not.
type Writer struct {
	m   *manifest.Store
	b   objstore.Bucket
	opt WriterOptions

	mu    sync.Mutex
	epoch manifest.Epoch
	// open: armed by this process and still its own to finish.
	open map[manifest.OperationID]bool
	// abandoned: own sidecars that this process cannot finish any more. It says so
	// in its status, and recovery may take them although the writer lives.
	abandoned map[manifest.OperationID]bool
	// parsed caches sidecars by key: an object's bytes never change.
	parsed map[string]*Sidecar
}

// NewWriter returns a writer that has to Register before it commits.
func NewWriter(m *manifest.Store, opt WriterOptions) *Writer {
	return &Writer{
		m: m, b: m.Bucket(), opt: opt.withDefaults(),
		open:      map[manifest.OperationID]bool{},
		abandoned: map[manifest.OperationID]bool{},
		parsed:    map[string]*Sidecar{},
	}
}

// Register gives the writer a new epoch: at start, and again after ErrFenced.
// manifest.ErrSuperseded means that a newer process has this id: exit.
func (w *Writer) Register(ctx context.Context) error {
	held := w.Epoch()
	e, err := w.m.Register(ctx, w.opt.ID, w.opt.Process, held)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch = e
	return nil
}

// Epoch returns the epoch that the writer believes to hold; zero before Register.
func (w *Writer) Epoch() manifest.Epoch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.epoch
}

// ID returns the writer's id.
func (w *Writer) ID() manifest.WriterID { return w.opt.ID }

// Open lists the operations that this process has armed and is still working on.
func (w *Writer) Open() []manifest.OperationID { return w.names(w.open) }

// Abandoned lists own sidecars that this process cannot finish any more.
func (w *Writer) Abandoned() []manifest.OperationID { return w.names(w.abandoned) }

func (w *Writer) names(set map[manifest.OperationID]bool) []manifest.OperationID {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []manifest.OperationID
	for op := range set {
		out = append(out, op)
	}
	slices.Sort(out)
	return out
}

func (w *Writer) publisher(e manifest.Epoch) manifest.Publisher {
	return manifest.Publisher{Role: manifest.RoleWriter, Process: w.opt.Process, Writer: w.opt.ID, Epoch: e}
}

// pending lists the sidecars of others that touch one of the tables; what is
// left over of this process is finished on the way or reported as abandoned.
// A sidecar that cannot be read blocks nobody but its owner: the manifest's pins
// keep everybody else safe.
func (w *Writer) pending(ctx context.Context, self manifest.OperationID, tables []manifest.TableID) (*RequiredError, error) {
	listed, err := List(ctx, w.b)
	if err != nil {
		return nil, err
	}
	w.forgetExcept(listed)
	var first *RequiredError
	for _, l := range listed {
		if l.Lone || l.Operation() == self {
			continue
		}
		s, err := w.sidecar(ctx, l.Key)
		switch {
		case errors.Is(err, objstore.ErrNotFound), IsUnreadable(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("read sidecar %s: %w", l.Key, err)
		}
		if s.Epoch.Process == w.opt.Process && w.leftover(ctx, s) {
			continue
		}
		for _, t := range s.Tables {
			if first == nil && slices.Contains(tables, t.Table) {
				first = &RequiredError{Operation: s.Operation, Key: l.Key, Table: t.Table, Writer: s.Writer}
			}
		}
	}
	return first, nil
}

// leftover deals with an own sidecar that no running operation of this process
// holds. It reports whether the sidecar is out of the way.
func (w *Writer) leftover(ctx context.Context, s *Sidecar) bool {
	w.mu.Lock()
	busy := w.open[s.Operation]
	w.mu.Unlock()
	if busy {
		return false
	}
	if o, ok := w.m.View().Outcome(s.Operation); ok && o.By.Process == w.opt.Process {
		err := w.delete(ctx, s.Operation) // a swallowed delete: again
		w.mark(s.Operation, false, err != nil)
		return err == nil
	}
	w.mark(s.Operation, false, true)
	return false
}

func (w *Writer) sidecar(ctx context.Context, key string) (*Sidecar, error) {
	w.mu.Lock()
	s := w.parsed[key]
	w.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := Get(ctx, w.b, key)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parsed[key] = s
	return s, nil
}

func (w *Writer) forgetExcept(listed []Listed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.parsed {
		if !slices.ContainsFunc(listed, func(l Listed) bool { return l.Key == key }) {
			delete(w.parsed, key)
		}
	}
	for op := range w.abandoned {
		if !slices.ContainsFunc(listed, func(l Listed) bool { return l.Operation() == op }) {
			delete(w.abandoned, op)
		}
	}
}

// mark moves an operation between this process's two lists.
func (w *Writer) mark(op manifest.OperationID, open, abandoned bool) {
	defer w.opt.Changed()
	w.mu.Lock()
	defer w.mu.Unlock()
	set := func(m map[manifest.OperationID]bool, in bool) {
		if in {
			m[op] = true
		} else {
			delete(m, op)
		}
	}
	set(w.open, open)
	set(w.abandoned, abandoned)
}
