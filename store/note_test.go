// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// noted opens the log of a disk and returns the newest checkpoint that it has a note of,
// and the position with which it begins.
func (w *world) noted() (noted, first log.Position) {
	w.Helper()
	l, err := log.Open("data/log", log.Options{FS: w.disk.Killed(), Spares: -1, NewID: func() [16]byte { return [16]byte{1} }})
	if err != nil {
		w.Fatal(err)
	}
	first = l.First()
	if err := errors.Join(l.Recover(1, nil), l.Close()); err != nil {
		w.Fatal(err)
	}
	return l.Checkpointed(), first
}

// fillSegments writes some segments of log.
func fillSegments(p *process, prefix string, want content) {
	p.w.Helper()
	for i := range 15 {
		tx := put("t", fmt.Sprint("k", i), fmt.Sprint(prefix, i))
		p.must(tx)
		want.apply(tx)
	}
}

// The order of a checkpoint is: it can be read, the log has a note of it, the log is cut.
// A death behind each of these leaves the same rows, and never a note of what is not there.
func TestTheNoteComesBehindTheCheckpoint(t *testing.T) {
	contract.Row(t, 57, 58)
	for name, c := range map[string]struct {
		plan    func(p *process)
		covered uint64 // by the root
		noted   log.Position
		cut     bool
	}{
		"it cannot be read": {func(p *process) { p.bucket.On(fault.PutIfAbsent, "manifest/").Crash(fault.Before) }, 1, 0, false},
		"in the note":       {func(p *process) { p.disk.DieAfter(20) }, 16, 0, false},
		"behind the note": {func(p *process) {
			p.disk.Fail(logtest.Remove, p.disk.Count(logtest.Remove)+1, syscall.EIO)
		}, 16, 16, false},
		"behind the cut": {func(*process) {}, 16, 16, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.start()
			want := content{}
			tx := put("t", "first", "v")
			p.must(tx)
			want.apply(tx)
			p.checkpoint()
			fillSegments(p, "a", want)
			c.plan(p)
			ended := make(chan error, 1)
			go func() { _, err := p.Checkpoint(context.Background()); ended <- err }()
			select {
			case <-p.bucket.Crashed():
				p.kill()
				<-ended
			case err := <-ended:
				if err != nil { // a truncation that fails is none
					t.Fatalf("the checkpoint: %v", err)
				}
				p.kill()
			}
			noted, first := w.noted()
			if noted != c.noted || (first > 1) != c.cut {
				t.Fatalf("the log has a note of %d and begins with %d; want %d, cut: %v", noted, first, c.noted, c.cut)
			}
			p = w.start()
			if st := p.Status(); uint64(noted) > st.Published || st.Published != c.covered && name != "it cannot be read" {
				t.Fatalf("noted is %d, the root covers %d, want %d", noted, st.Published, c.covered)
			}
			w.same("after a restart", p.rows(), want)
			fillSegments(p, "b", want)
			if name != "it cannot be read" { // there somebody has to recover first
				p.checkpoint()
				w.same("published", w.dump(), want)
			}
			p.kill()
			if _, first := w.noted(); name != "it cannot be read" && first == 1 {
				t.Fatal("the next checkpoint did not cut the log")
			}
		})
	}
}

// A root that covers less than the log has a note of is an older copy: everything comes
// back from the log, and a person is told.
func TestARootThatIsOlderThanTheNote(t *testing.T) {
	contract.Row(t, 57)
	w := newWorld(t)
	p := w.start()
	want := content{}
	tx := put("t", "first", "v")
	p.must(tx)
	want.apply(tx)
	p.checkpoint()
	older := w.root.Clone()
	fillSegments(p, "a", want)
	p.disk.Fail(logtest.Remove, p.disk.Count(logtest.Remove)+1, syscall.EIO)
	p.checkpoint()
	p.kill()
	w.root = older
	p = w.start()
	w.same("served", p.rows(), want)
	if said := strings.Join(p.lines(), "\n"); !strings.Contains(said, "covers this writer's log up to position 1, and a checkpoint up to 16 was made from this directory") {
		t.Fatalf("it said: %s", said)
	}
	p.checkpoint()
	w.same("published", w.dump(), want)
}
