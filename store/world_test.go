// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// tb is what a test and a rapid check have in common.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
	Fatal(args ...any)
	Logf(format string, args ...any)
}

// world is a root in memory, and a disk in memory that outlives its processes.
type world struct {
	tb
	root *mem.Bucket
	disk *logtest.FS
	keys *audit.Keyring
}

func newWorld(t tb) *world {
	t.Helper()
	keys, err := audit.NewKeyring(map[string][]byte{"current": []byte("k1"), "k1": bytes.Repeat([]byte("k"), 32)})
	if err != nil {
		t.Fatal(err)
	}
	return &world{tb: t, root: mem.New(mem.Options{}), disk: logtest.New(), keys: keys}
}

func newID() string { return ulid.Make().String() }

// process is one life of the writer ledger-0.
type process struct {
	*store.Store
	w      *world
	bucket *fault.Bucket
	disk   *logtest.FS
	cancel context.CancelFunc
	ended  chan error

	mu   sync.Mutex
	said []string
}

// launch starts a process and does not wait for it.
func (w *world) launch(change ...func(*store.Options)) *process {
	w.Helper()
	p := &process{w: w, bucket: fault.Wrap(w.root), disk: w.disk, ended: make(chan error, 1)}
	o := store.Options{
		Dir: "data", Writer: "ledger-0", Process: manifest.ProcessID(newID()), FS: w.disk,
		OpenRoot: func(context.Context) (objstore.Bucket, error) { return p.bucket, nil },
		NewID:    newID, NewLogID: func() [16]byte { return ulid.Make() },
		Checkpoint: time.Hour, SegmentSize: 16 << 10, Spares: -1, Await: 5 * time.Second, Poll: time.Millisecond,
		Report: func(line string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.said = append(p.said, line)
		},
	}
	for _, f := range change {
		f(&o)
	}
	s, err := store.New(o)
	if err != nil {
		w.Fatal(err)
	}
	p.Store = s
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() { p.ended <- s.Run(ctx) }()
	return p
}

// start starts a process and waits until it serves.
func (w *world) start(change ...func(*store.Options)) *process {
	w.Helper()
	p := w.launch(change...)
	p.await("it serves", func(st control.Status) bool { return st.State == control.Serving })
	return p
}

// await waits until the status is as wanted. Counts and positions are no changes,
// so it also looks now and then.
func (p *process) await(what string, ok func(control.Status) bool) control.Status {
	p.w.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := p.Changed()
		st := p.Status()
		if ok(st) {
			return st
		}
		select {
		case <-changed:
		case <-tick.C:
		case err := <-p.ended:
			p.w.Fatalf("waiting until %s: the process ended: %v; it said %q", what, err, p.lines())
		case <-deadline:
			p.w.Fatalf("waiting until %s: status %+v; it said %q", what, st, p.lines())
		}
	}
}

func (p *process) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.said...)
}

// kill is kill -9: nothing that the process does from now on has an effect.
func (p *process) kill() {
	p.w.Helper()
	p.bucket.Kill()
	p.disk.Die()
	p.cancel()
	<-p.ended
	p.w.disk = p.disk.Killed()
}

// stop is SIGTERM.
func (p *process) stop() {
	p.w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil {
		p.w.Fatalf("shutdown: %v", err)
	}
	if err := <-p.ended; err != nil {
		p.w.Fatalf("after the shutdown: %v", err)
	}
	p.cancel()
}

// must does a transaction.
func (p *process) must(statements ...store.Statement) store.Result {
	p.w.Helper()
	r, err := p.Transact(context.Background(), store.Transaction{Statements: statements})
	if err != nil {
		p.w.Fatalf("transaction: %v", err)
	}
	return r
}

// checkpoint makes one and fails if it does not go out.
func (p *process) checkpoint() recovery.Result {
	p.w.Helper()
	r, err := p.Checkpoint(context.Background())
	if err != nil {
		p.w.Fatalf("checkpoint: %v", err)
	}
	return r
}

// operator is a recoverer as the operator has one: it may end epochs.
func (w *world) operator() {
	w.Helper()
	if err := w.recover(recovery.RollForwardOnly{EndEpoch: true}); err != nil {
		w.Fatalf("recover: %v", err)
	}
}

func (w *world) recover(a recovery.Authority) error {
	ctx := context.Background()
	m, err := manifest.Open(ctx, w.root, manifest.Options{NewID: newID})
	if errors.Is(err, manifest.ErrNoStore) {
		return nil
	}
	if err != nil {
		return err
	}
	trail, err := audit.Open(w.root, "main", w.keys, audit.Options{Recoverer: "operator"})
	if err != nil {
		return err
	}
	r := recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: "operator"})
	listed, err := recovery.List(ctx, w.root)
	for _, l := range listed {
		rep, rerr := r.Recover(ctx, l.Key, a)
		if rerr == nil && !rep.Complete {
			rerr = fmt.Errorf("%s stays: %+v", l.Key, rep.Verdict)
		}
		err = errors.Join(err, rerr)
	}
	return err
}

func (w *world) keysBelow(prefix string) []string {
	w.Helper()
	var out []string
	for e, err := range w.root.List(context.Background(), prefix, "") {
		if err != nil {
			w.Fatal(err)
		}
		out = append(out, e.Key)
	}
	return out
}

func (w *world) state() *manifest.State {
	w.Helper()
	m, err := manifest.Open(context.Background(), w.root, manifest.Options{NewID: newID})
	if err != nil {
		w.Fatal(err)
	}
	return m.View()
}

// rest checks what holds whenever nothing is under way.
func (w *world) rest() {
	w.Helper()
	if left := w.keysBelow(recovery.Prefix); len(left) > 0 {
		w.Fatalf("left pending: %q", left)
	}
}
