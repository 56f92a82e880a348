// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/envelope"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// rewrite makes an object another one.
func (w *world) rewrite(key string, change func([]byte) []byte) {
	w.Helper()
	ctx := context.Background()
	o, err := w.root.Get(ctx, key)
	if err == nil {
		err = w.root.Delete(ctx, key)
	}
	if body := change(bytes.Clone(o.Body)); err == nil && body != nil {
		_, err = w.root.PutIfAbsent(ctx, key, body, "test")
	}
	if err != nil {
		w.Fatal(err)
	}
}

// resealed changes the text of an object and makes its digest fit.
func resealed(w *world, from, to string) func([]byte) []byte {
	return func(raw []byte) []byte {
		h, at, err := envelope.ParseHeader(raw)
		if err != nil || !bytes.Contains(raw[at:], []byte(from)) {
			w.Fatalf("%q is not in %s: %v", from, raw, err)
		}
		body := bytes.Replace(raw[at:], []byte(from), []byte(to), 1)
		return append([]byte(fmt.Sprintf("salvor %s %d %s\n", h.Kind, h.Format, envelope.Digest(body))), body...)
	}
}

// What is wrong with a mirror is told by the name of the object and what to do; it blocks
// a writer without a disk, and nobody else; with its disk the writer begins it anew.
func TestAMirrorThatIsNotWhole(t *testing.T) {
	contract.Row(t, 59, 60)
	const epoch = "wal/ledger-0/00000000000000000001/"
	second := func(w *world) string { return w.keysBelow(epoch)[1] }
	for name, c := range map[string]struct {
		key    func(*world) string
		change func(*world) func([]byte) []byte
		says   []string
	}{
		"a range is gone":           {second, func(*world) func([]byte) []byte { return func([]byte) []byte { return nil } }, []string{"has a hole: positions 4 to 6 are missing", "restore the missing objects"}},
		"a range is damaged":        {second, func(*world) func([]byte) []byte { return func(b []byte) []byte { b[len(b)-9] ^= 1; return b } }, []string{"Damaged", "00000000000000000004-00000000000000000006", "restore this object"}},
		"a range is cut off":        {second, func(*world) func([]byte) []byte { return func(b []byte) []byte { return b[:40] } }, []string{"Damaged"}},
		"a range is another one":    {second, func(w *world) func([]byte) []byte { return resealed(w, "ZSAzIn19", "ZSA5In19") }, []string{"Foreign", "it does not follow the range before it"}},
		"a range of another store":  {second, func(w *world) func([]byte) []byte { return resealed(w, `"store":"`, `"store":"X`) }, []string{"Foreign", "of store X", "stop that"}},
		"a range of another writer": {second, func(w *world) func([]byte) []byte { return resealed(w, `"writer":"ledger-0"`, `"writer":"ledger-1"`) }, []string{"Foreign", "ledger-1"}},
		"a range of a newer format": {second, func(*world) func([]byte) []byte {
			return func(b []byte) []byte { return bytes.Replace(b, []byte("wal-range 1 "), []byte("wal-range 9 "), 1) }
		}, []string{"Newer", "run the newer salvor"}},
		"the beginning is gone":          {func(*world) string { return epoch + "begin" }, func(*world) func([]byte) []byte { return func([]byte) []byte { return nil } }, []string{"Missing", epoch + "begin"}},
		"the beginning is another epoch": {func(*world) string { return epoch + "begin" }, func(w *world) func([]byte) []byte { return resealed(w, `"epoch":1`, `"epoch":7`) }, []string{"Foreign", "epoch 7"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.start(byHand, func(o *store.Options) { o.Mirror.SnapshotAfter, o.Mirror.KeepLocal = 1<<30, 1<<30 })
			h := newPast()
			for i := range 8 {
				h.do(p, put("t", fmt.Sprint("k", i%3), fmt.Sprint("a text that fills the range ", i)))
			}
			if err := p.Mirror(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.kill()
			w.rewrite(c.key(w), c.change(w))
			elsewhere := &world{tb: t, root: w.root.Clone(), disk: logtest.New(), keys: w.keys}
			blocked := elsewhere.launch(byHand)
			st := blocked.await("it waits", func(st control.Status) bool { return st.Waiting != "" })
			for _, s := range c.says {
				if st.State != control.Starting || !strings.Contains(st.Waiting, s) {
					t.Fatalf("it says %q, want %q", st.Waiting, s)
				}
			}
			other := (&world{tb: t, root: elsewhere.root, disk: logtest.New(), keys: w.keys}).start(byHand, func(o *store.Options) { o.Writer = "ledger-7" })
			other.must(put("t", "k", "v"))
			other.kill()
			blocked.kill()

			p = w.start(byHand)
			w.same("from the disk", p.rows(), h.now())
			h.do(p, put("t", "k", "later"))
			if err := p.Mirror(t.Context()); err != nil {
				t.Fatal(err)
			}
			if name == "the beginning is gone" || strings.HasPrefix(name, "the beginning") {
				// Nothing says what the ranges are: all goes out anew.
				if said := strings.Join(p.lines(), "\n"); !strings.Contains(said, "begun anew") {
					t.Fatalf("it said %q", said)
				}
				r, third := w.fromTheRoot(byHand)
				third.same("mirrored anew", r.rows(), h.now())
				r.kill()
			}
			p.checkpoint()
			p.kill()
			r, third := w.fromTheRoot(byHand)
			third.same("from the root, after a checkpoint", r.rows(), h.now())
			r.kill()
		})
	}
}

// A snapshot that cannot be read back replaces nothing, and one that is damaged later is
// passed over when the ranges are still there.
func TestASnapshotIsReadBeforeItCounts(t *testing.T) {
	contract.Row(t, 59)
	w := newWorld(t)
	p := w.stuck(byHand)
	lost := 0
	p.bucket.OnCall(func(c fault.Call) {
		if c.Verb == fault.PutIfAbsent && strings.HasPrefix(c.Key, "snapshot/") && !strings.Contains(c.Key, ".") {
			for _, key := range w.keysBelow(c.Key + ".") { // its parts
				_ = w.root.Delete(context.Background(), key)
				lost++
			}
		}
	})
	h, safe := script(w, p)
	if lost == 0 || safe != uint64(len(h)-1) {
		t.Fatalf("%d parts were lost, %d of %d mirrored", lost, safe, len(h)-1)
	}
	p.kill()
	w.comesBack(h, safe)
}

// A range that cannot be read back keeps the log from being cut.
func TestTheLogIsCutBehindWhatWasReadBack(t *testing.T) {
	contract.Row(t, 59)
	w := newWorld(t)
	p := w.stuck(byHand, func(o *store.Options) { o.Mirror.SnapshotAfter = 1 << 30 })
	h, gone := newPast(), ""
	p.bucket.OnCall(func(c fault.Call) {
		if c.Verb == fault.Get && strings.HasPrefix(c.Key, "wal/") && gone == "" && len(h) > 10 {
			gone = c.Key
			_ = w.root.Delete(context.Background(), gone)
		}
	})
	for range 10 {
		for j := range 4 {
			h.do(p, put("t", fmt.Sprint(j), fmt.Sprint(len(h))))
		}
		if err := p.Mirror(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if gone == "" || !strings.Contains(strings.Join(p.lines(), "\n"), "the log stays longer than it should be: mirror object "+gone+": Missing") {
		t.Fatalf("%q is gone; it said %q", gone, p.lines())
	}
	p.kill()
	p = w.start(byHand, func(o *store.Options) { o.RootTimeout = time.Second })
	w.same("from the disk", p.rows(), h.now())
	p.kill()
}

// A range whose answer was lost lands when the next ones are on their way: it is sent again
// with the same bytes, and nothing overlaps with it.
func TestARangeThatLandsLate(t *testing.T) {
	contract.Row(t, 59)
	w := newWorld(t)
	p := w.stuck(byHand)
	h := newPast()
	h.do(p, put("t", "k", "1"))
	late := p.bucket.On(fault.PutIfAbsent, "wal/").Nth(1).LandLater()
	var sends atomic.Int32
	p.bucket.When("until it has landed", func(c fault.Call) bool {
		return c.Verb == fault.PutIfAbsent && strings.HasPrefix(c.Key, "wal/") && sends.Load() < 4
	}).From(2).LoseRequest()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Mirror(ctx); !errors.Is(err, objstore.ErrUnknown) {
		t.Fatalf("mirror: %v", err)
	}
	if st := p.Status().Mirror; st.Position != 0 || !strings.Contains(st.Waiting, "outcome unknown") {
		t.Fatalf("%+v", st)
	}
	sends.Store(4)
	h.do(p, put("t", "k", "2"))
	if err := p.Mirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := late.Land(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.kill()
	r, elsewhere := w.fromTheRoot(byHand)
	elsewhere.same("from the root", r.rows(), h.now())
	r.kill()
}

// A range of this process's own name with other bytes: nothing is overwritten, nothing
// more is mirrored, transactions go on, and the next process begins anew.
func TestARangeThatIsTaken(t *testing.T) {
	w := newWorld(t)
	p := w.start(mirrored)
	key := fmt.Sprintf("wal/ledger-0/%020d/%020d-%020d", p.Status().Epoch, 1, 1)
	if _, err := w.root.PutIfAbsent(t.Context(), key, []byte("somebody's"), "test"); err != nil {
		t.Fatal(err)
	}
	h := newPast()
	h.do(p, put("t", "k", "1"))
	p.await("it says so", func(st control.Status) bool {
		return st.Mirror != nil && strings.Contains(st.Mirror.Waiting, key+" is there with other bytes")
	})
	h.do(p, put("t", "k", "2"))
	if o, err := w.root.Get(t.Context(), key); err != nil || string(o.Body) != "somebody's" {
		t.Fatalf("%s %v", o.Body, err)
	}
	p.kill()
	p = w.start(mirrored)
	w.same("from the disk", p.rows(), h.now())
	if said := strings.Join(p.lines(), "\n"); !strings.Contains(said, "begun anew") {
		t.Fatalf("it said %q", said)
	}
	p.settled()
	r, elsewhere := w.fromTheRoot()
	elsewhere.same("from the root", r.rows(), h.now())
	r.kill()
	p.kill()
}

// An older copy of the disk comes back: the mirror has the rest, also at every later start.
func TestAnOlderCopyOfTheDisk(t *testing.T) {
	contract.Row(t, 60)
	w := newWorld(t)
	p := w.start(byHand)
	h := newPast()
	h.do(p, put("t", "k", "1"), put("t", "gone", "1"))
	copied := p.disk.Killed()
	h.do(p, put("t", "k", "2"), del("t", "gone"))
	h.do(p, put("t", "only", "in the mirror"))
	if err := p.Mirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.kill()
	w.disk = copied
	p = w.start(byHand)
	w.same("served", p.rows(), h.now())
	if said := strings.Join(p.lines(), "\n"); !strings.Contains(said, "the log ends with position 1, and the mirror in the root with 3: the data directory is an older copy") {
		t.Fatalf("it said %q", said)
	}
	h.do(p, put("t", "later", "here"))
	p.kill()
	p = w.start(byHand)
	w.same("after a restart", p.rows(), h.now())
	p.checkpoint()
	w.same("published", w.dump(), h.now())
	p.kill()
	w.same("after another", w.start(byHand).rows(), h.now())
}

// What cannot be removed stays, and nobody waits for it.
func TestWhatCannotBeRemovedHarmsNobody(t *testing.T) {
	contract.Row(t, 59)
	w := newWorld(t)
	p := w.stuck(byHand)
	p.bucket.On(fault.Delete, "wal/").From(1).Fail(objstore.ErrAccessDenied)
	h, safe := script(w, p)
	st := p.Status()
	if safe != uint64(len(h)-1) || st.Oldest == 1 || !strings.Contains(st.Mirror.Waiting, "remove from the mirror") {
		t.Fatalf("%d of %d mirrored; %+v; %+v", safe, len(h)-1, st, st.Mirror)
	}
	p.kill()
	w.comesBack(h, safe)
}

// Rights of before there was a mirror: the store serves as it did.
func TestWithoutTheRightToMirror(t *testing.T) {
	w := newWorld(t)
	denied := make(chan struct{})
	p := w.launch(byHand, func(o *store.Options) {
		open := o.OpenRoot
		o.OpenRoot = func(ctx context.Context) (objstore.Bucket, error) {
			<-denied // before the first request
			return open(ctx)
		}
	})
	p.bucket.On(fault.PutIfAbsent, "wal/").From(1).Fail(objstore.ErrAccessDenied)
	close(denied)
	p.await("it serves", func(st control.Status) bool { return st.State == control.Serving })
	if m := p.Status().Mirror; m != nil {
		t.Fatalf("it mirrors without the right to: %+v", m)
	}
	p.must(put("t", "k", "v"))
	p.checkpoint()
	if said := strings.Join(p.lines(), "\n"); !strings.Contains(said, "let this store's credentials create and delete below wal/ and snapshot/") {
		t.Fatalf("it said %q", said)
	}
	p.kill()
}

// A transaction larger than an object goes in parts.
func TestALargeTransactionIsMirrored(t *testing.T) {
	w := newWorld(t)
	p := w.start(func(o *store.Options) {
		byHand(o)
		o.SegmentSize, o.Mirror.PartSize, o.Mirror.SnapshotAfter, o.Await = 16<<20, 0, 1<<30, 5*time.Second
	})
	h := newPast()
	var tx []store.Statement
	for i := range 7 {
		tx = append(tx, put("t", fmt.Sprint(i), strings.Repeat("x", 1<<20-100)))
	}
	h.do(p, tx...)
	h.do(p, put("t", "k", "v"))
	if err := p.Mirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.kill()
	if n := len(w.keysBelow("wal/")); n != 5 {
		t.Fatalf("%q", w.keysBelow("wal/"))
	}
	r, elsewhere := w.fromTheRoot(byHand)
	elsewhere.same("from the root", r.rows(), h.now())
	r.kill()
}

// Nothing is asked of the root while nothing is written.
func TestAnIdleMirrorAsksForNothing(t *testing.T) {
	w := newWorld(t)
	ticks := make(chan struct{}, 1<<16)
	p := w.start(mirrored, func(o *store.Options) {
		o.After = func(d time.Duration) <-chan time.Time {
			ticks <- struct{}{}
			return time.After(d)
		}
	})
	p.must(put("t", "k", "v"))
	p.settled()
	eventually(t, "it rests", func() bool {
		before := len(p.bucket.Calls())
		for n := 0; n < 50; n++ {
			<-ticks
		}
		return len(p.bucket.Calls()) == before
	})
	p.kill()
}
