// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// refusedBy starts a process that must not serve, and returns what it says.
func (w *world) refusedBy(says string) {
	w.Helper()
	before := len(w.keysBelow(""))
	p := w.launch()
	st := p.await("it refuses", func(st control.Status) bool { return st.Waiting != "" })
	if st.State != control.Starting || !strings.Contains(st.Waiting, says) {
		w.Fatalf("status %+v, want it to wait, saying %q", st, says)
	}
	if after := len(w.keysBelow("")); after > before+1 { // a registration is none of the store's content
		w.Fatalf("%d objects became %d", before, after)
	}
	p.kill()
}

// checkpointed is a world whose process was killed after a checkpoint, with a log
// that was cut.
func checkpointed(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	p := w.start()
	for range 100 {
		p.must(put("t", "k", strings.Repeat("x", 50)))
	}
	p.checkpoint()
	p.kill()
	return w
}

func TestRootsThatAreNotOurs(t *testing.T) {
	t.Run("emptied", func(t *testing.T) {
		w := checkpointed(t)
		w.root = mem.New(mem.Options{})
		w.refusedBy("the root holds no store, and this data directory belongs to store")
		if left := w.keysBelow(""); len(left) > 0 {
			t.Fatalf("in the root: %q", left)
		}
	})
	t.Run("emptied, and the log holds everything", func(t *testing.T) {
		w := newWorld(t)
		p := w.start()
		p.must(put("t", "k", "1"))
		p.kill()
		w.root = mem.New(mem.Options{})
		w.refusedBy("the root holds no store, and this data directory belongs to store")
	})
	t.Run("swapped", func(t *testing.T) {
		w, other := checkpointed(t), newWorld(t)
		other.start().kill()
		w.root = other.root
		w.refusedBy("and this data directory belongs to store")
	})
	t.Run("restored from an older copy", func(t *testing.T) {
		w := newWorld(t)
		p := w.start()
		p.must(put("t", "k", "1"))
		p.checkpoint()
		older := w.root.Clone()
		for range 100 {
			p.must(put("t", "k", strings.Repeat("x", 50)))
		}
		p.checkpoint()
		p.kill()
		w.root = older
		w.refusedBy("the root covers this writer's log up to position 1, and the log begins with")
	})
	t.Run("a version of a newer format", func(t *testing.T) {
		w := checkpointed(t)
		w.alter(w.pinned("t"), func(s string) string { return strings.Replace(s, "salvor table 1", "salvor table 2", 1) })
		w.refusedBy("table object has format 2, this salvor reads up to 1: upgrade salvor")
	})
	t.Run("a damaged version", func(t *testing.T) {
		w := checkpointed(t)
		w.alter(w.pinned("t"), func(s string) string { return strings.Replace(s, `"v"`, `"w"`, 1) })
		w.refusedBy("table object is damaged")
	})
	t.Run("a version that is gone", func(t *testing.T) {
		w := checkpointed(t)
		if err := w.root.Delete(t.Context(), w.pinned("t")); err != nil {
			t.Fatal(err)
		}
		w.refusedBy("object not found: restore this object from a copy")
	})
}

// pinned returns the key of the version that the manifest names.
func (w *world) pinned(table string) string {
	w.Helper()
	id := manifest.TableID("ledger-0." + table)
	pin, ok := w.state().Tables[id]
	if !ok {
		w.Fatalf("the manifest names no %s", id)
	}
	return manifest.TableKey(id, pin.Number, pin.Operation)
}

// alter replaces an object, as a person or a bad disk could.
func (w *world) alter(key string, f func(string) string) {
	w.Helper()
	ctx := context.Background()
	o, err := w.root.Get(ctx, key)
	if err != nil {
		w.Fatal(err)
	}
	now := f(string(o.Body))
	if now == string(o.Body) {
		w.Fatalf("object %s was not altered", key)
	}
	if err := w.root.Delete(ctx, key); err != nil {
		w.Fatal(err)
	}
	if _, err := w.root.PutIfAbsent(ctx, key, []byte(now), "altered"); err != nil {
		w.Fatal(err)
	}
}

// A data directory that was restored from an older copy, started while the root
// could not be reached: what it gave positions to collides with the root.
func TestADirectoryThatIsBehindTheRoot(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	older := w.disk.Killed()
	p.must(put("t", "k", "2"))
	p.checkpoint()
	p.kill()

	t.Run("with the root: goes on behind the pins", func(t *testing.T) {
		w := &world{tb: t, root: w.root.Clone(), disk: older.Killed(), keys: w.keys}
		p := w.start()
		w.same("served", p.rows(), content{"t": {"k": `{"v":"2"}`}})
		if r := p.must(put("t", "k", "3")); r.Position != 3 {
			t.Fatalf("position %d, want 3", r.Position)
		}
		p.checkpoint()
		w.same("published", w.dump(), content{"t": {"k": `{"v":"3"}`}})
		p.kill()
		w.same("after a restart", w.start().rows(), content{"t": {"k": `{"v":"3"}`}})
	})
	t.Run("without: ends as soon as it knows", func(t *testing.T) {
		w := &world{tb: t, root: w.root.Clone(), disk: older.Killed(), keys: w.keys}
		var up atomic.Bool
		p := w.start(reachable(w, &up))
		up.Store(true)
		p.Refresh()
		var ahead *store.AheadError
		if err := <-p.ended; !errors.As(err, &ahead) || ahead.Covered != 2 || ahead.Durable != 1 {
			t.Fatalf("ended with %v", err)
		}
	})
}

func TestADirectoryHasOneOwnerAndOneWriter(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	second := w.launch()
	if err := <-second.ended; !errors.Is(err, log.ErrLocked) {
		t.Fatalf("a second process: %v", err)
	}
	p.kill()
	other := w.launch(func(o *store.Options) { o.Writer = "ledger-1" })
	if err := <-other.ended; err == nil || !strings.Contains(err.Error(), "belongs to writer ledger-0, this is ledger-1") {
		t.Fatalf("another writer: %v", err)
	}
}

func TestADamagedLogEndsTheStart(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	p.must(put("t", "k", "2"))
	p.kill()
	for _, path := range w.disk.Files() {
		if strings.HasSuffix(path, ".log") {
			raw := w.disk.Bytes(path)
			raw[60] ^= 1
			w.disk.Put(path, raw)
		}
	}
	var corrupt *log.CorruptError
	if err := <-w.launch().ended; !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "move it away") {
		t.Fatalf("%v", err)
	}
	w.disk = logtest.New()
	w.start()
}
