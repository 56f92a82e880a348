// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
)

// run is one case under way.
type run struct {
	opt  *Options
	name string

	bucket   objstore.Bucket
	dir      string
	server   *http.Server
	endpoint string
	watch    *watch

	mu     sync.Mutex
	writer *writer // nil before the first start
	// shared: the writer says that its tables may have other writers.
	shared bool
	// missed: the fault was not reached.
	missed bool

	commits []*commit
	// ids are the tables' ids in the manifest, by the names that the writer was given.
	ids map[string]manifest.TableID
	// What the writer wrote at its start and in a commit of two tables.
	startWrites, commitWrites []string
}

// commit is one that was asked for.
type commit struct {
	tables  []string
	value   json.RawMessage
	answer  answer
	ended   bool // the writer ended before it answered
	from    manifest.Version
	armed   []manifest.OperationID // meanwhile
	decided manifest.OperationID   // the one that was published; "" when none was
}

// doubt reports whether either outcome is right.
func (c *commit) doubt() bool { return c.ended || c.answer.word == "unknown" }

// start starts a process of the writer and waits for its first word.
func (r *run) start(ctx context.Context) error {
	r.mu.Lock() // its first request may be its last
	w, err := start(ctx, r.opt.Writer, r.environment(), r.opt.Patience)
	if err == nil {
		r.writer = w
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	traits, err := w.ready(ctx)
	r.shared = traits == "shared"
	return err
}

// mustStart is start where nothing hinders the writer.
func (r *run) mustStart(ctx context.Context) error {
	if err := r.start(ctx); err != nil {
		return wrong(Speaks, "start: %v", err)
	}
	return nil
}

// kill is a fault: the process ends with this request.
func (r *run) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writer != nil {
		r.writer.kill()
	}
}

// commit asks for one and notes what became of it. That the writer ends is no
// error: the case decides whether it may.
func (r *run) commit(ctx context.Context, tables ...string) (*commit, error) {
	c := &commit{tables: tables, value: json.RawMessage(fmt.Sprintf(`{"n":%d}`, len(r.commits)+1))}
	r.commits = append(r.commits, c)
	content := map[string]json.RawMessage{}
	for _, t := range tables {
		content[t] = c.value
	}
	w := r.watch
	w.mu.Lock()
	w.told, w.created = w.requests, 0
	before := map[manifest.OperationID]bool{}
	for op := range w.sidecars {
		before[op] = true
	}
	if w.st != nil {
		c.from = w.st.Version
	}
	w.mu.Unlock()

	a, err := r.writer.commit(ctx, content)
	c.answer, c.ended = a, errors.Is(err, errEnded)
	w.mu.Lock()
	defer w.mu.Unlock()
	for op := range w.sidecars {
		if !before[op] {
			c.armed = append(c.armed, op)
		}
	}
	if err != nil && !c.ended {
		return c, wrong(Speaks, "%v", err)
	}
	if a.word == "ok" && w.created > 0 && w.listedBoundary < w.created {
		w.violate(LookedAt, "", "ok, and boundary/ was not listed after the publication was created")
	}
	return c, nil
}

// mustCommit is commit where it has to be ok.
func (r *run) mustCommit(ctx context.Context, tables ...string) error {
	c, err := r.commit(ctx, tables...)
	if err != nil {
		return err
	}
	if c.answer.word != "ok" {
		return wrong(Speaks, "nothing hinders this commit, and it says: %s %s%s", c.answer.word, c.answer.why, ended(c))
	}
	return r.learn(ctx, c)
}

func ended(c *commit) string {
	if c.ended {
		return "(the writer ended)"
	}
	return ""
}

// learn finds out under which ids the tables of a commit stand in the manifest.
func (r *run) learn(ctx context.Context, c *commit) error {
	m, err := r.manifest(ctx)
	if err != nil {
		return err
	}
	if r.ids == nil {
		r.ids = map[string]manifest.TableID{}
	}
	for t, pin := range m.View().Tables {
		for _, op := range c.armed {
			if pin.Operation == op && len(c.tables) == 1 {
				r.ids[c.tables[0]] = t
			}
		}
	}
	return nil
}

// manifest opens the root beside the writer.
func (r *run) manifest(ctx context.Context) (*manifest.Store, error) {
	return manifest.Open(ctx, r.bucket, manifest.Options{NewID: r.opt.NewID})
}

// operator publishes entries as an operator does.
func (r *run) operator(ctx context.Context, entries func(*manifest.State) []manifest.Entry) error {
	m, err := r.manifest(ctx)
	if err != nil {
		return err
	}
	by := manifest.Publisher{Role: manifest.RoleOperator, Process: manifest.ProcessID(r.opt.NewID())}
	_, err = m.Publish(ctx, manifest.Publication{By: by, Entries: entries(m.View())})
	return err
}

// fence ends the writer's epoch.
func (r *run) fence(ctx context.Context) error {
	return r.operator(ctx, func(st *manifest.State) (out []manifest.Entry) {
		for w, e := range st.Writers {
			if !e.Fenced() {
				out = append(out, manifest.Fence(w, e))
			}
		}
		return out
	})
}

// recover resolves what pends, as the operator does, and reports what cannot be.
func (r *run) recover(ctx context.Context, endEpochs bool) error {
	m, err := r.manifest(ctx)
	if errors.Is(err, manifest.ErrNoStore) {
		return nil
	}
	if err != nil {
		return wrong(Line, "the root cannot be opened: %v", err)
	}
	keys, err := audit.NewKeyring(map[string][]byte{"k1": []byte("conformance-conformance"), audit.CurrentName: []byte("k1")})
	if err != nil {
		return err
	}
	process := r.opt.NewID()
	trail, err := audit.Open(r.bucket, "main", keys, audit.Options{Recoverer: process})
	if err != nil {
		return err
	}
	listed, err := recovery.List(ctx, r.bucket)
	if err != nil {
		return err
	}
	rec := recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: manifest.ProcessID(process), Actor: "salvor conformance"})
	for _, l := range listed {
		rep, err := rec.Recover(ctx, l.Key, recovery.RollForwardOnly{EndEpoch: endEpochs})
		if err != nil {
			return fmt.Errorf("recover %s: %w", l.Key, err)
		}
		if endEpochs && !rep.Complete {
			r.watch.mu.Lock()
			r.watch.violate(Healable, l.Key, "recovery says %s (%s): %s", rep.Verdict.Decision, rep.Verdict.Reason, strings.TrimSpace(rep.Verdict.Message))
			r.watch.mu.Unlock()
		}
	}
	return nil
}
