// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// lostDisk is a world whose process died at a put of its second checkpoint, and
// whose disk died with it.
func lostDisk(t *testing.T, prefix string, nth int) *world {
	t.Helper()
	w := newWorld(t)
	p := w.start()
	p.must(put("a", "k", "old"), put("b", "k", "old"))
	p.checkpoint()
	p.must(put("a", "k", "new"), put("b", "k", "new"))
	p.bucket.On(fault.PutIfAbsent, prefix).Nth(nth).Crash(fault.Before)
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = p.Checkpoint(context.Background()) }()
	<-p.bucket.Crashed()
	p.kill()
	<-ended
	w.disk = logtest.New()
	return w
}

// The disk is lost while an operation pends: what that operation comes to decides
// what the tables are, so the process waits for it, and loses nothing of it.
func TestLostDiskWaitsForWhatPends(t *testing.T) {
	old, recent := content{"a": {"k": `{"v":"old"}`}, "b": {"k": `{"v":"old"}`}}, content{"a": {"k": `{"v":"new"}`}, "b": {"k": `{"v":"new"}`}}
	for _, c := range []struct {
		name, prefix string
		nth          int
		want         content
	}{
		{"confirmed: it goes forward", "manifest/", 1, recent},
		{"not confirmed: it is closed", "tables/", 2, old},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Run("operator", func(t *testing.T) {
				w := lostDisk(t, c.prefix, c.nth)
				p := w.launch()
				st := p.await("it waits", func(st control.Status) bool { return strings.Contains(st.Waiting, "its outcome has to be known first") })
				if st.State != control.Starting {
					t.Fatalf("%+v", st)
				}
				if err := w.recover(recovery.RollForwardOnly{}); err != nil {
					t.Fatal(err)
				}
				p.Refresh()
				p.await("it serves", func(st control.Status) bool { return st.State == control.Serving })
				w.carriesOn(p, c.want)
			})
			t.Run("by itself", func(t *testing.T) {
				w := lostDisk(t, c.prefix, c.nth)
				w.carriesOn(w.start(func(o *store.Options) { o.Keyring = w.keys }), c.want)
			})
		})
	}
}

func (w *world) carriesOn(p *process, want content) {
	w.Helper()
	w.same("served", p.rows(), want)
	p.must(put("c", "k", "later"))
	p.checkpoint()
	want = want.clone()
	want.set("c", "k", `{"v":"later"}`)
	w.same("published", w.dump(), want)
	w.rest()
}

// Two disks took turns: when the first comes back, its log and the root are two
// histories. Nothing is served and nothing overwritten.
func TestADiskThatComesBackIsRefused(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	p.checkpoint()
	p.must(put("t", "k", "only here"))
	p.kill()
	first := w.disk
	w.disk = logtest.New()
	p = w.start()
	w.same("without the disk", p.rows(), content{"t": {"k": `{"v":"1"}`}})
	p.must(put("t", "k", "2"))
	p.checkpoint()
	p.kill()
	second := w.disk
	w.disk = first
	w.refusedBy("two histories of one writer; nothing is overwritten")
	w.same("published", w.dump(), content{"t": {"k": `{"v":"2"}`}})
	w.disk = second
	p = w.start()
	w.same("on the second disk", p.rows(), content{"t": {"k": `{"v":"2"}`}})
}

// Somebody else publishes a version of an own table meanwhile: it is not
// overwritten, transactions go on, and the status says what is wrong.
func TestAForeignVersionIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "mine"))
	p.checkpoint()
	elsewhere := &world{tb: t, root: w.root, disk: logtest.New(), keys: w.keys}
	other := elsewhere.start(func(o *store.Options) { o.Writer, o.TablePrefix = "intruder", "ledger-0." })
	other.must(put("t", "k", "theirs"))
	other.checkpoint()
	other.kill()
	for i := range 3 {
		p.must(put("t", "k", "mine again"))
		var diverged *store.DivergedError
		if _, err := p.Checkpoint(t.Context()); !errors.As(err, &diverged) || diverged.Table != "ledger-0.t" {
			t.Fatalf("checkpoint %d: %v", i, err)
		}
	}
	w.same("published", w.dump(), content{"t": {"k": `{"v":"theirs"}`}})
	w.same("served", p.rows(), content{"t": {"k": `{"v":"mine again"}`}})
	if st := p.Status(); st.State != control.Serving || !strings.Contains(st.Waiting, "is not overwritten") && !strings.Contains(st.Waiting, "nothing is overwritten") {
		t.Fatalf("%+v", st)
	}
	w.rest()
}

// A process that was paused before it armed wakes when its successor, on another
// disk, already serves. What it does then never becomes visible.
func TestAZombieArmsTooLate(t *testing.T) {
	w := newWorld(t)
	zombie := w.start()
	zombie.must(put("t", "k", "1"))
	zombie.checkpoint()
	zombie.must(put("t", "k", "of the zombie"))
	gate := zombie.bucket.On(fault.PutIfAbsent, recovery.Prefix).ParkBefore()
	done := make(chan error, 1)
	go func() { _, err := zombie.Checkpoint(context.Background()); done <- err }()
	if _, err := gate.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	elsewhere := &world{tb: t, root: w.root, disk: logtest.New(), keys: w.keys}
	p := elsewhere.start()
	p.must(put("t", "k", "of the successor"))
	gate.Release()
	zombie.await("the zombie has armed", func(st control.Status) bool { return len(st.Abandoned) == 1 })
	w.operator()
	w.same("published", w.dump(), content{"t": {"k": `{"v":"1"}`}})
	if err := <-done; !errors.Is(err, recovery.ErrFailed) {
		t.Fatalf("the zombie's checkpoint: %v", err)
	}
	p.checkpoint()
	w.same("published", w.dump(), content{"t": {"k": `{"v":"of the successor"}`}})
	w.rest()
}
