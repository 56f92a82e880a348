// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recorder

import (
	"errors"
	"sync"

	"github.com/salvor-io/salvor/store/log"
)

// Recorder is one unit of work after the other. It is safe for concurrent use, and
// belongs to one unit of work at a time.
type Recorder struct {
	log *log.Log

	mu     sync.Mutex
	state  state
	events [][]byte
	poison *PoisonedError // set once; never cleared
}

// Outcome is what a commit did.
type Outcome struct {
	// Wrote: there were events, and they are in the log.
	Wrote bool
	// Position of the transaction; zero if nothing was written.
	Position log.Position
}

// New returns a recorder for a log that was recovered.
func New(l *log.Log) *Recorder { return &Recorder{log: l, state: idle} }

// Arm begins a unit of work. No I/O. A log that has failed poisons the recorder here, so
// that nothing is evaluated in vain.
func (r *Recorder) Arm() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.look(); err != nil {
		return err
	}
	_, err := r.step(callArm, nil)
	return err
}

// Record keeps an event of the unit of work, in the order of the calls. No I/O. The
// recorder has a copy.
func (r *Recorder) Record(event []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, err := r.step(callRecord, nil)
	if a == keep {
		r.events = append(r.events, append([]byte(nil), event...))
	}
	return err
}

// Commit ends the unit of work. When its events are in the log, apply is called, and
// readers may see them; without events nothing is written and apply is not called.
func (r *Recorder) Commit(apply func(log.Position)) (Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, err := r.step(callCommit, nil)
	if a != write {
		return Outcome{}, err
	}
	events := r.events
	r.events = nil
	return r.write(events, apply)
}

// CommitEvents puts events into the log that were recorded elsewhere, as one unit of
// work. Nobody else's may be under way.
func (r *Recorder) CommitEvents(events [][]byte, apply func(log.Position)) (Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := callCommitEvents
	if len(events) == 0 {
		c = callCommitNothing
	}
	a, err := r.step(c, nil)
	if a != write {
		return Outcome{}, err
	}
	return r.write(events, apply)
}

// Abort ends the unit of work without a trace and reports whether anything had been
// recorded in it: a caller who changed its state in memory on the way has to undo that.
// Without a unit of work it does nothing.
func (r *Recorder) Abort() (recorded bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	recorded = len(r.events) > 0
	a, err := r.step(callAbort, nil)
	if a == forget {
		r.events = nil
	}
	return recorded && err == nil, err
}

// Poison ends the recorder: the caller's state in memory is not what was recorded. The
// first reason stands.
func (r *Recorder) Poison(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.step(callPoison, reason) // it is what it says
}

// Sync returns when everything that was committed is durable. A failure poisons.
func (r *Recorder) Sync() error { return r.call((*log.Log).Sync) }

// Checkpoint notes that a checkpoint that can be read covers everything up to p. A
// failure poisons.
func (r *Recorder) Checkpoint(p log.Position) error {
	return r.call(func(l *log.Log) error { return l.Checkpoint(p) })
}

// Truncate removes what a checkpoint up to p covers. A failure keeps more than necessary
// and poisons nothing.
func (r *Recorder) Truncate(p log.Position) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.step(callLog, nil); err != nil {
		return err
	}
	if err := r.look(); err != nil {
		return err
	}
	return r.log.Truncate(p)
}

// Err is the *PoisonedError of the recorder, or of its log; nil: it works.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.look()
}

// call does something to the log whose failure poisons. Under mu as a whole, so that no
// unit of work is committed into it.
func (r *Recorder) call(do func(*log.Log) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.step(callLog, nil); err != nil {
		return err
	}
	if err := do(r.log); err != nil {
		return r.failed(err)
	}
	return nil
}

// write commits and waits. Under mu.
func (r *Recorder) write(events [][]byte, apply func(log.Position)) (Outcome, error) {
	t, err := r.log.Commit(events, apply)
	if err == nil {
		err = t.Wait()
	}
	if err != nil {
		return Outcome{}, r.failed(err)
	}
	return Outcome{Wrote: true, Position: t.Position}, nil
}

// look takes over the failure of the log. Under mu.
func (r *Recorder) look() error {
	var p *log.PoisonedError
	if err := r.log.Err(); r.poison == nil && errors.As(err, &p) {
		return r.failed(err)
	} else if r.poison == nil && err != nil {
		return err // it was closed
	}
	if r.poison != nil {
		return r.poison
	}
	return nil
}

// failed poisons the recorder, if nothing did before. Under mu.
func (r *Recorder) failed(cause error) error {
	_, _ = r.step(callPoison, cause)
	return r.poison
}

// step does what the table says of the state. Under mu.
func (r *Recorder) step(c call, reason error) (act, error) {
	from := r.state
	to, a := decide(from, c)
	if a == misuse {
		reason = &MisuseError{Call: c.String(), State: from.String()}
	}
	r.state = to
	if to == poisoned && r.poison == nil {
		r.poison, r.events = &PoisonedError{Cause: reason}, nil
	}
	if a == misuse || a == refuse {
		return a, r.poison
	}
	return a, nil
}
