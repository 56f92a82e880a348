// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Options of a run. Root, Work and Journal are required.
type Options struct {
	// Root of the module whose mutants are run.
	Root string
	// Work is where copies of the tree are kept. The same folder each time lets the
	// build cache know the copies.
	Work string
	// Journal gets a record of each mutant.
	Journal Journal
	// Parallel copies. Default 2.
	Parallel int
	// Slack is how long tests may take with a patch beyond four times what they take
	// without. Default a minute.
	Slack time.Duration
	// Measure is a command that runs a test binary and appends the CPU seconds that
	// it used to the file named by its first argument: see Measure. Empty: not measured.
	Measure []string
	// Library are packages whose tests are run too on bugs that are said to get past
	// them. Empty: none.
	Library string
	// Report is called after each mutant. It is never called twice at once.
	Report func(Record)
	// Notice is called with what else there is to say.
	Notice func(string)
}

// Run runs the mutants and returns their records. The error is one of the run
// itself; what is wrong with a mutant is in its record.
func Run(ctx context.Context, opt Options, mutants []Mutant) ([]Record, error) {
	if opt.Parallel == 0 {
		opt.Parallel = 2
	}
	if opt.Slack == 0 {
		opt.Slack = time.Minute
	}
	opt.Parallel = min(opt.Parallel, len(mutants))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := runner{opt: opt, baselines: map[Command]*baseline{}}
	copies, release, err := r.copies(opt.Parallel)
	if err != nil {
		return nil, err
	}
	defer release()

	queue := make(chan Mutant)
	var wg sync.WaitGroup
	for _, dir := range copies {
		wg.Go(func() {
			for m := range queue {
				if err := r.one(ctx, dir, m); err != nil {
					r.fail(err)
					cancel()
				}
			}
		})
	}
	for _, m := range mutants {
		select {
		case queue <- m:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	return r.records, errors.Join(r.err, context.Cause(ctx))
}

type runner struct {
	opt Options
	// alone is held for reading by mutants that share the machine, for writing by
	// those with a Setup.
	alone sync.RWMutex

	mu        sync.Mutex
	baselines map[Command]*baseline
	records   []Record
	err       error
}

type baseline struct {
	once sync.Once
	ran  *ran
	took time.Duration
}

func (r *runner) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

func (r *runner) notice(format string, args ...any) {
	if r.opt.Notice == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opt.Notice(fmt.Sprintf(format, args...))
}

// one runs a mutant in a copy and leaves the copy as it was.
func (r *runner) one(ctx context.Context, dir string, m Mutant) error {
	if m.Command.Setup != "" {
		r.alone.Lock()
		defer r.alone.Unlock()
	} else {
		r.alone.RLock()
		defer r.alone.RUnlock()
	}
	hash, err := m.Hash(dir)
	if err != nil {
		return err
	}
	rec := Record{Name: m.Name, Hash: hash}
	base := r.baseline(ctx, dir, m)
	began := time.Now()
	if err := base.ran.baseline(&m); err != nil {
		rec.Verdict, rec.Why = Failed, err.Error()
	} else {
		if err = r.planted(ctx, dir, &m, base, &rec); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil // interrupted: it shows nothing
	}
	rec.Time, rec.Seconds = time.Now(), time.Since(began).Seconds()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
	if r.opt.Report != nil {
		r.opt.Report(rec)
	}
	return r.opt.Journal.Append(rec)
}

// baseline runs a command without any patch, once.
func (r *runner) baseline(ctx context.Context, dir string, m Mutant) *baseline {
	r.mu.Lock()
	b := r.baselines[m.Command]
	if b == nil {
		b = &baseline{}
		r.baselines[m.Command] = b
	}
	r.mu.Unlock()
	b.once.Do(func() {
		r.notice("without a patch: %s in %s", m.Command.Run, m.Command.Packages)
		began := time.Now()
		b.ran, _ = r.run(ctx, dir, m.Command, 15*time.Minute)
		b.took = time.Since(began)
	})
	return b
}

// planted applies the patch, runs the tests and restores the copy. The record tells
// of the mutant; the error is one of the copy.
func (r *runner) planted(ctx context.Context, dir string, m *Mutant, base *baseline, rec *Record) error {
	restore, err := keep(dir, m.Touches)
	if err != nil {
		return err
	}
	if why := applyPatch(ctx, dir, m.File); why != "" {
		rec.Verdict, rec.Why = Failed, "the patch does not apply:\n    "+strings.ReplaceAll(why, "\n", "\n    ")
		return restore()
	}
	var ran *ran
	ran, rec.CPUSeconds = r.run(ctx, dir, m.Command, 4*base.took+r.opt.Slack)
	rec.Verdict, rec.Why, rec.Rows = ran.judge(m, base.ran)
	if rec.Verdict == Caught {
		if rec.Unseen, rec.Why = r.afterwards(ctx, dir, m, rec.CPUSeconds); rec.Why != "" {
			rec.Verdict = Failed
		}
	}
	if err := restore(); err != nil {
		return err
	}
	if m.Command.Setup != "" { // what was made of the bug must not stay
		if out, err := r.setup(ctx, dir, m.Command.Setup); err != nil {
			return fmt.Errorf("set up again after %s: %w:\n%s", m.Name, err, out)
		}
	}
	return nil
}
