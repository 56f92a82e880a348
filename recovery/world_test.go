// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/file"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/recovery"
)

// world is one root with its clock and its supply of ids. A crash leaves the
// world as it is; a fork of it has a future of its own.
type world struct {
	t    *testing.T
	disk objstore.Bucket
	fork func() *world

	mu  sync.Mutex
	now time.Time
	ids int
}

func onMemory(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.useMemory(mem.New(mem.Options{Now: w.clock}))
	w.found()
	return w
}

func (w *world) useMemory(b *mem.Bucket) {
	w.disk = b
	w.fork = func() *world {
		f := w.twin()
		f.useMemory(b.Clone())
		return f
	}
}

func onFiles(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	w.useFiles(t.TempDir())
	w.found()
	return w
}

func (w *world) useFiles(dir string) {
	b, err := file.Open(dir, file.Options{})
	must(w.t, err)
	w.disk = b
	w.fork = func() *world {
		f, to := w.twin(), w.t.TempDir()
		must(w.t, os.CopyFS(to, os.DirFS(dir)))
		f.useFiles(to)
		return f
	}
}

// twin is a world without a disk that goes on counting where w is.
func (w *world) twin() *world {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &world{t: w.t, now: w.now, ids: w.ids}
}

func (w *world) found() {
	_, err := manifest.CreateIdentity(ctx(w.t), w.disk, "store-uid", w.newID(), nil)
	must(w.t, err)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) sleep(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
	return context.Cause(ctx)
}

func (w *world) newID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return fmt.Sprintf("ID%08d", w.ids)
}

func (w *world) manifest(b objstore.Bucket) (*manifest.Store, error) {
	return manifest.Open(ctx(w.t), b, manifest.Options{NewID: w.newID, Now: w.clock, Sleep: w.sleep, Resolve: time.Second, CheckpointEvery: 8})
}

// writer is a registered process of writer id, whose requests go through b.
func (w *world) writer(b objstore.Bucket, id string) (*recovery.Writer, error) {
	m, err := w.manifest(b)
	if err != nil {
		return nil, err
	}
	wr := recovery.NewWriter(m, recovery.WriterOptions{
		ID: manifest.WriterID(id), Process: manifest.ProcessID(w.newID()), NewID: w.newID,
		Now: w.clock, Sleep: w.sleep, Await: 2 * time.Second,
	})
	return wr, wr.Register(ctx(w.t))
}

var testKeys = map[string][]byte{"k1": []byte("0123456789abcdef0123456789abcdef"), "current": []byte("k1")}

func (w *world) recoverer(b objstore.Bucket) (*recovery.Recoverer, error) {
	m, err := w.manifest(b)
	if err != nil {
		return nil, err
	}
	return w.recovererOf(m, b), nil
}

func (w *world) recovererOf(m *manifest.Store, b objstore.Bucket) *recovery.Recoverer {
	w.t.Helper()
	keys, err := audit.NewKeyring(testKeys)
	must(w.t, err)
	trail, err := audit.Open(b, "main", keys, audit.Options{Recoverer: "test", Now: w.clock, NewAttempt: w.newID, Wait: w.sleep})
	must(w.t, err)
	return recovery.NewRecoverer(m, trail, recovery.RecovererOptions{
		Process: manifest.ProcessID(w.newID()), Now: w.clock, Sleep: w.sleep,
		Formats: map[recovery.WriterKind]recovery.Format{recovery.KindForeign: w.log(b)},
	})
}

// recoverAll lets one recoverer process work on all that is listed, once.
func (w *world) recoverAll(b objstore.Bucket, a recovery.Authority) ([]recovery.Report, error) {
	listed, err := recovery.List(ctx(w.t), b)
	if err != nil {
		return nil, err
	}
	r, err := w.recoverer(b)
	if err != nil {
		return nil, err
	}
	var out []recovery.Report
	for _, l := range listed {
		rep, err := r.Recover(ctx(w.t), l.Key, a)
		if err != nil {
			return out, err
		}
		out = append(out, rep)
	}
	return out, nil
}

var ended = recovery.RollForwardOnly{EndEpoch: true}

// rows are the audit rows of op, after the whole chain was found good.
func (w *world) rows(op manifest.OperationID) []audit.Row {
	w.t.Helper()
	keys, err := audit.NewKeyring(testKeys)
	must(w.t, err)
	rep, err := audit.Verify(ctx(w.t), w.disk, "main", keys, audit.VerifyOptions{})
	must(w.t, err)
	if rep.Verdict() != audit.Good {
		w.t.Fatalf("audit chain: %+v", rep)
	}
	trail, err := audit.Open(w.disk, "main", keys, audit.Options{Recoverer: "test", Now: w.clock, NewAttempt: w.newID, Wait: w.sleep})
	must(w.t, err)
	var out []audit.Row
	for row, err := range trail.Rows(ctx(w.t), 0) {
		must(w.t, err)
		if op == "" || row.Operation == string(op) {
			out = append(out, row)
		}
	}
	return out
}

func (w *world) state() *manifest.State {
	w.t.Helper()
	m, err := w.manifest(w.disk)
	must(w.t, err)
	return m.View()
}

func (w *world) keys(prefix string) []string {
	w.t.Helper()
	var out []string
	for e, err := range w.disk.List(ctx(w.t), prefix, "") {
		must(w.t, err)
		out = append(out, e.Key)
	}
	return out
}

// content is what a reader of the manifest sees of a table; "" if there is none.
func (w *world) content(st *manifest.State, t string) string {
	w.t.Helper()
	pin, ok := st.Tables[manifest.TableID(t)]
	if !ok {
		return ""
	}
	o, err := w.disk.Get(ctx(w.t), manifest.TableKey(manifest.TableID(t), pin.Number, pin.Operation))
	must(w.t, err)
	var body string
	_, err = envelope.Decode("table", 1, o.Body, &body)
	must(w.t, err)
	if h, _, _ := envelope.ParseHeader(o.Body); h.Digest != pin.Digest {
		w.t.Fatalf("table %s: the pin has digest %s, the object %s", t, pin.Digest, h.Digest)
	}
	return body
}

// put is a change that writes content to a table through b.
func put(b objstore.Bucket, table, content string) recovery.Change {
	return recovery.Change{Table: manifest.TableID(table), Write: func(ctx context.Context, v recovery.TableVersion) (string, error) {
		raw, err := envelope.Encode("table", 1, content)
		if err != nil {
			return "", err
		}
		res, err := b.PutIfAbsent(ctx, v.Object, raw, string(v.Operation))
		if res.Outcome != objstore.Created && res.Outcome != objstore.Exists {
			return "", err
		}
		h, _, err := envelope.ParseHeader(raw)
		return h.Digest, err
	}}
}

func drop(table string) recovery.Change {
	return recovery.Change{Table: manifest.TableID(table), Drop: true}
}

func checkpoint(changes ...recovery.Change) recovery.Operation {
	return recovery.Operation{Kind: recovery.KindCheckpoint, Changes: changes}
}

func ctx(t *testing.T) context.Context { return t.Context() }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
