// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// Random histories of a writer with a mirror: whatever is lost, the disk has everything,
// and the root everything up to where it said so, or to the newest checkpoint; and a
// process that was overtaken never changes that.
func TestMirroredHistoriesEqualAModel(t *testing.T) {
	contract.Row(t, 59, 60)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		h, safe, published := newPast(), uint64(0), uint64(0)
		p := w.start(byHand)
		var zombies []*process
		lost := func(r *process) { // what a process that came from the root has
			st := r.Status().Mirror
			at := published
			if st != nil {
				at = max(at, st.Restored)
			}
			if at < safe || at >= uint64(len(h)) {
				t.Fatalf("from the root up to %d; safe %d, published %d, acknowledged %d", at, safe, published, len(h)-1)
			}
			h = h[:at+1]
			safe = at
		}
		t.Repeat(map[string]func(*rapid.T){
			"transaction": func(t *rapid.T) {
				for range rapid.IntRange(1, 6).Draw(t, "transactions") {
					h.do(p, rapid.SliceOfN(statement(), 1, 4).Draw(t, "statements")...)
				}
			},
			"mirror": func(t *rapid.T) {
				if err := p.Mirror(context.Background()); err != nil {
					t.Fatalf("mirror: %v", err)
				}
				safe = uint64(len(h) - 1)
			},
			"mirror, and an answer is lost": func(t *rapid.T) {
				r := p.bucket.When("a write of the mirror", func(c fault.Call) bool { return ofTheMirror(c) && c.Verb.Durable() }).Nth(1)
				if rapid.Bool().Draw(t, "it landed") {
					r.LoseAnswer()
				} else {
					r.LoseRequest()
				}
				if err := p.Mirror(context.Background()); err != nil {
					t.Fatalf("mirror: %v", err)
				}
				safe = uint64(len(h) - 1)
			},
			"dies in the mirror": func(t *rapid.T) {
				p.bucket.When("of the mirror", ofTheMirror).Nth(rapid.IntRange(1, 9).Draw(t, "request")).Crash(
					rapid.SampledFrom([]fault.Moment{fault.Before, fault.Unacknowledged}).Draw(t, "moment"))
				if p.mirrorNow() == nil {
					safe = uint64(len(h) - 1)
				}
				p.kill()
				p = w.start(byHand)
			},
			"checkpoint": func(*rapid.T) {
				p.checkpoint()
				published = uint64(len(h) - 1)
			},
			"SIGTERM": func(*rapid.T) {
				p.stop()
				published = uint64(len(h) - 1)
				p = w.start(byHand)
			},
			"kill -9": func(*rapid.T) {
				p.kill()
				p = w.start(byHand)
			},
			"power cut": func(t *rapid.T) {
				p.kill()
				w.disk = w.disk.PowerLoss(func(n int) int { return rapid.IntRange(0, n).Draw(t, "kept") })
				p = w.start(byHand)
			},
			"the disk is lost": func(*rapid.T) {
				p.kill()
				w.disk = logtest.New()
				p = w.start(byHand)
				lost(p)
			},
			"an older copy of the disk comes back": func(t *rapid.T) {
				copied := p.disk.Killed()
				n := uint64(len(h) - 1)
				for range rapid.IntRange(0, 5).Draw(t, "transactions") {
					h.do(p, rapid.SliceOfN(statement(), 1, 2).Draw(t, "statements")...)
				}
				if rapid.Bool().Draw(t, "mirrored") {
					if err := p.Mirror(context.Background()); err != nil {
						t.Fatalf("mirror: %v", err)
					}
					safe = uint64(len(h) - 1)
				}
				p.kill()
				w.disk = copied
				p = w.start(byHand)
				h = h[:max(n, safe, published)+1]
			},
			"overtaken from another disk": func(t *rapid.T) {
				if len(zombies) > 2 {
					t.Skip("there are enough")
				}
				zombies = append(zombies, p)
				elsewhere := &world{tb: w.tb, root: w.root, disk: logtest.New(), keys: w.keys}
				p = elsewhere.start(byHand)
				w = elsewhere
				lost(p)
			},
			"one that was overtaken goes on": func(t *rapid.T) {
				if len(zombies) == 0 {
					t.Skip("nobody was")
				}
				z := zombies[rapid.IntRange(0, len(zombies)-1).Draw(t, "zombie")]
				for i := range rapid.IntRange(1, 30).Draw(t, "transactions") {
					_, _ = z.Transact(context.Background(), store.Transaction{Statements: []store.Statement{put("a", "k0", fmt.Sprint("zombie", i))}})
				}
				_ = z.Mirror(context.Background())
			},
			"": func(*rapid.T) { w.same("served", p.rows(), h.now()) },
		})
		for _, z := range zombies {
			z.kill()
		}
		p.kill()
		w.disk = logtest.New()
		p = w.start(byHand)
		lost(p)
		w.same("at the end, from the root alone", p.rows(), h.now())
		p.checkpoint()
		w.same("published", w.dump(), h.now())
		p.kill()
	})
}

// A process that was overtaken writes on, makes snapshots and collects: its successor's
// history is not touched, and its own stays on its disk.
func TestAnOvertakenProcessRemovesNothing(t *testing.T) {
	contract.Row(t, 59)
	w := newWorld(t)
	zombie := w.stuck(byHand)
	h := newPast()
	for i := range 10 {
		h.do(zombie, put("t", fmt.Sprint("k", i), "both"))
	}
	if err := zombie.Mirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	elsewhere := &world{tb: t, root: w.root, disk: logtest.New(), keys: w.keys}
	p := elsewhere.stuck(byHand)
	fork, oldest := append(past(nil), h...), zombie.Status().Oldest
	for i := range 60 {
		fork.do(zombie, put("t", fmt.Sprint("k", i%9), "of the zombie"))
		if i%7 == 6 {
			_ = zombie.Mirror(t.Context())
		}
	}
	st := zombie.Status()
	if st.Mirror.Position < 60 || !strings.Contains(st.Mirror.Waiting, "is over") || st.Oldest != oldest {
		t.Fatalf("the zombie: %+v, mirror %+v", st, st.Mirror)
	}
	h.do(p, put("t", "k0", "of the successor"))
	if err := p.Mirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	zombie.kill()
	p.kill()
	r, third := elsewhere.fromTheRoot(byHand)
	third.same("the successor's history", r.rows(), h.now())
	h.do(r, put("t", "k1", "later"))
	r.checkpoint()
	if err := r.Mirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := third.keysBelow("wal/"); len(left) > 1 || len(third.keysBelow("snapshot/")) > 0 {
		t.Fatalf("left of the zombie: %q %q", left, third.keysBelow("snapshot/"))
	}
	w.refusedBy("mirrored this writer's log up to position 11 from another data directory")
}

// A process that is fenced and registers again goes on, under its new epoch.
func TestAFenceBeginsTheMirrorAnew(t *testing.T) {
	w := newWorld(t)
	p := w.start(byHand)
	h := newPast()
	h.do(p, put("t", "k", "1"))
	if err := p.Mirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := p.Status().Epoch
	w.fence()
	h.do(p, put("t", "k", "2"))
	p.Refresh()
	p.await("it has registered again", func(st control.Status) bool { return st.Epoch > before })
	eventually(t, "it mirrors under the new epoch", func() bool {
		return len(w.keysBelow(fmt.Sprintf("wal/ledger-0/%020d/", p.Status().Epoch))) > 0
	})
	h.do(p, put("t", "k", "3"))
	if err := p.Mirror(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, elsewhere := w.fromTheRoot(byHand)
	elsewhere.same("from the root alone", r.rows(), h.now())
	r.kill()
	p.kill()
}
