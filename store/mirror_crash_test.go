// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// past is what a writer's tables were at each of its positions, from 0.
type past []content

func newPast() past { return past{content{}} }

func (h past) now() content { return h[len(h)-1] }

// do does a transaction and notes what it made.
func (h *past) do(p *process, statements ...store.Statement) {
	p.w.Helper()
	r := p.must(statements...)
	if int(r.Position) != len(*h) {
		p.w.Fatalf("position %d, want %d", r.Position, len(*h))
	}
	next := h.now().clone()
	next.apply(statements...)
	*h = append(*h, next)
}

// byHand mirrors when it is told to, in the smallest pieces.
func byHand(o *store.Options) {
	mirrored(o)
	o.Mirror.Interval, o.Mirror.SnapshotAfter = time.Hour, 1500
	o.SegmentSize, o.Await = 8<<10, 300*time.Millisecond
}

// script is a process whose checkpoints are held back, and which mirrors, makes
// snapshots, collects and cuts its log. It returns what it acknowledged, and up to where
// the mirror has said that it has it.
func script(w *world, p *process) (h past, safe uint64) {
	h = newPast()
	for i := range 8 {
		for j := range 4 {
			h.do(p, put("t", fmt.Sprint("k", (i+j)%5), fmt.Sprint(i, "-", j)), put("u", fmt.Sprint(i), "v"))
		}
		if i == 5 {
			h.do(p, put("large", "k", strings.Repeat("x", 900))) // a range of its own
		}
		if p.mirrorNow() == nil {
			safe = uint64(len(h) - 1)
		}
	}
	return h, safe
}

// mirrorNow mirrors, and gives up with the bucket.
func (p *process) mirrorNow() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-p.bucket.Crashed():
			cancel()
		case <-ctx.Done():
		}
	}()
	return p.Mirror(ctx)
}

// comesBack checks a dead process's legacy: the disk has everything, and the root alone
// what it said that it has, or more, and in any case one moment of it.
func (w *world) comesBack(h past, safe uint64) {
	w.Helper()
	r, elsewhere := w.fromTheRoot(byHand)
	st := r.Status().Mirror
	if st.Restored < safe || st.Restored >= uint64(len(h)) {
		w.Fatalf("restored up to %d; %d were mirrored, %d acknowledged", st.Restored, safe, len(h)-1)
	}
	at := append(past(nil), h[:st.Restored+1]...)
	elsewhere.same("from the root alone", r.rows(), at.now())
	at.do(r, put("t", "more", "elsewhere"))
	if err := r.Mirror(context.Background()); err != nil {
		w.Fatalf("the mirror of the restored: %v", err)
	}
	r.kill()
	elsewhere.same("restored, and restarted", elsewhere.start(byHand).rows(), at.now())
	again, third := elsewhere.fromTheRoot(byHand)
	third.same("restored twice", again.rows(), at.now())

	p := w.start(byHand)
	w.same("from the disk", p.rows(), h.now())
	h.do(p, put("t", "more", "here"))
	if err := p.Mirror(context.Background()); err != nil {
		w.Fatalf("the mirror goes on: %v", err)
	}
	r, elsewhere = w.fromTheRoot(byHand)
	elsewhere.same("from the root alone, later", r.rows(), h.now())
	r.kill()
	p.checkpoint()
	w.same("published", w.dump(), h.now())
	p.kill()
}

// ofTheMirror matches the requests of the mirror, and those that it asks before it removes.
func ofTheMirror(c fault.Call) bool {
	return strings.HasPrefix(c.Key, "wal/") || strings.HasPrefix(c.Key, "snapshot/")
}

// A death at every request of mirroring, snapshot, collection and the cut: nothing
// acknowledged is lost with the disk at hand, and nothing mirrored without.
func TestADeathAtEveryRequestOfTheMirror(t *testing.T) {
	contract.Row(t, 59)
	w := newWorld(t)
	p := w.stuck(byHand)
	before := len(p.bucket.Calls())
	script(w, p)
	verbs, mirrors := map[fault.Verb]int{}, 0
	for _, c := range p.bucket.Calls()[before:] {
		if ofTheMirror(c) {
			verbs[c.Verb]++
			mirrors++
		}
	}
	_, first := w.noted2(p)
	p.kill()
	t.Logf("%d requests of the mirror: %v; the log begins with %d", mirrors, verbs, first)
	if verbs[fault.PutIfAbsent] < 12 || verbs[fault.Delete] < 8 || verbs[fault.Get] < 4 || first == 1 || len(w.keysBelow("snapshot/")) == 0 {
		t.Fatal("the script is too short for what it shows")
	}
	for n := 1; n <= mirrors; n++ {
		for _, m := range []fault.Moment{fault.Before, fault.Unacknowledged} {
			w := newWorld(t)
			p := w.stuck(byHand)
			p.bucket.When("of the mirror", ofTheMirror).Nth(n).Crash(m)
			h, safe := script(w, p)
			<-p.bucket.Crashed()
			p.kill()
			w.comesBack(h, safe)
		}
	}
}

// noted2 is noted of a living process.
func (w *world) noted2(p *process) (noted, first uint64) {
	elsewhere := &world{tb: w.tb, root: w.root, disk: p.disk.Killed(), keys: w.keys}
	n, f := elsewhere.noted()
	return uint64(n), uint64(f)
}

// Answers are lost, and what was not answered lands or does not.
func TestLostAnswersOfTheMirror(t *testing.T) {
	contract.Row(t, 59)
	w := newWorld(t)
	p := w.stuck(byHand)
	began := p.bucket.DurableWrites()
	script(w, p)
	writes := p.bucket.DurableWrites() - began
	p.kill()
	for n := 1; n <= writes; n++ {
		for _, lose := range []func(*fault.Rule){(*fault.Rule).LoseAnswer, (*fault.Rule).LoseRequest} {
			w := newWorld(t)
			p := w.stuck(byHand)
			lose(p.bucket.When("a write of the mirror", func(c fault.Call) bool { return ofTheMirror(c) && c.Verb.Durable() }).Nth(n))
			h, safe := script(w, p)
			if safe != uint64(len(h)-1) {
				t.Fatalf("write %d: mirrored up to %d of %d: %+v", n, safe, len(h)-1, p.Status().Mirror)
			}
			p.kill()
			w.comesBack(h, safe)
		}
	}
}

// The disk fails, or the power is cut, at every step of the cut that the mirror allows.
func TestTheCutBehindTheMirror(t *testing.T) {
	contract.Row(t, 59)
	var removes int
	for n := 0; n == 0 || n <= removes; n++ {
		for _, op := range []logtest.Op{logtest.Remove, logtest.SyncDir, logtest.Sync} {
			for _, kept := range []int{0, 1} {
				w := newWorld(t)
				p := w.stuck(byHand)
				if n > 0 {
					if op == logtest.Sync {
						p.disk.DieAfter(n * 30000)
					} else {
						p.disk.Fail(op, p.disk.Count(op)+n, syscall.EIO)
					}
				}
				h, safe := newPast(), uint64(0)
				for i := range 8 {
					died := false
					for j := range 4 {
						_, err := p.Transact(context.Background(), store.Transaction{Statements: []store.Statement{put("t", fmt.Sprint(j), fmt.Sprint(i))}})
						if died = err != nil; died {
							break
						}
						next := h.now().clone()
						next.apply(put("t", fmt.Sprint(j), fmt.Sprint(i)))
						h = append(h, next)
					}
					if p.Mirror(context.Background()) == nil {
						safe = uint64(len(h) - 1)
					}
					if died {
						break
					}
				}
				if removes = max(removes, p.disk.Count(logtest.Remove)); removes < 3 {
					t.Fatalf("%d files were removed", removes)
				}
				p.kill()
				w.disk = w.disk.PowerLoss(func(n int) int { return n * kept })
				p = w.start(byHand)
				got := p.rows()
				if fmt.Sprint(got) != fmt.Sprint(h.now()) { // what was not acknowledged may be there
					if n == 0 || op != logtest.Sync {
						w.same(fmt.Sprint("after ", op, " ", n), got, h.now())
					}
				}
				p.kill()
				_ = safe
			}
		}
	}
}

// A death at every request of a restore: the next one has the same.
func TestADeathAtEveryRequestOfARestore(t *testing.T) {
	contract.Row(t, 59)
	w := newWorld(t)
	p := w.stuck(byHand)
	h, _ := script(w, p)
	h.do(p, put("t", "last", "one"))
	if err := p.Mirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.kill()
	root := w.root
	reached := false
	for n := 1; !reached; n++ {
		for _, m := range []fault.Moment{fault.Before, fault.Unacknowledged} {
			elsewhere := &world{tb: t, root: root.Clone(), disk: logtest.New(), keys: w.keys}
			dying := elsewhere.launch(byHand, func(o *store.Options) {
				open := o.OpenRoot
				o.OpenRoot = func(ctx context.Context) (objstore.Bucket, error) {
					b, err := open(ctx)
					b.(*fault.Bucket).When("of the start", func(fault.Call) bool { return true }).Nth(n).Crash(m)
					return b, err
				}
			})
			eventually(t, "it serves, or is dead", func() bool {
				select {
				case <-dying.bucket.Crashed():
					return true
				default:
					reached = dying.Status().State == control.Serving
					return reached
				}
			})
			dying.kill()
			p := elsewhere.start(byHand)
			elsewhere.same(fmt.Sprint("after a death at request ", n), p.rows(), h.now())
			at := append(past(nil), h...)
			at.do(p, put("t", "more", "later"))
			if err := p.Mirror(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.kill()
			again, third := elsewhere.fromTheRoot(byHand)
			third.same("restored again", again.rows(), at.now())
			again.kill()
		}
	}
}
