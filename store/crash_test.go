// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
)

// half is a process with one published checkpoint and changes behind it, and what
// it serves before and after them.
func half(w *world) (p *process, before, after content) {
	p = w.start(func(o *store.Options) { o.PartSize = 60 }) // so that a table has parts
	before = content{}
	do := func(c content, tx ...store.Statement) {
		p.must(tx...)
		c.apply(tx...)
	}
	for i := range 4 {
		do(before, put("accounts", fmt.Sprint("k", i), "old"), put("ledger", fmt.Sprint("k", i), "old"))
	}
	do(before, put("untouched", "k", "old"))
	p.checkpoint()
	after = before.clone()
	for i := range 4 {
		do(after, put("accounts", fmt.Sprint("k", i), "new"), put("ledger", fmt.Sprint("k", i), "new"))
	}
	do(after, del("accounts", "k3"), put("fresh", "k", "new"))
	return p, before, after
}

// dieInCheckpoint kills the process at one durable write of its checkpoint.
func dieInCheckpoint(w *world, at fault.CrashPoint) (before, after content) {
	w.Helper()
	p, before, after := half(w)
	done := p.bucket.DurableWrites()
	p.bucket.CrashAt(fault.CrashPoint{Write: done + at.Write, Moment: at.Moment})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.Checkpoint(context.Background())
	}()
	<-p.bucket.Crashed()
	p.kill()
	<-ended
	return before, after
}

// TestCrashInACheckpoint kills a process at every durable write of a checkpoint, in
// both moments, and lets the rest of the world go on in every order: nothing
// acknowledged is lost, a reader of the root never sees half, and the next
// checkpoint goes out.
func TestCrashInACheckpoint(t *testing.T) {
	w := newWorld(t)
	p, _, _ := half(w)
	began := p.bucket.DurableWrites()
	p.checkpoint()
	writes := p.bucket.DurableWrites() - began
	p.kill()
	if writes < 12 {
		t.Fatalf("only %d durable writes in a checkpoint of three tables with parts", writes)
	}
	for _, at := range fault.CrashPoints(writes) {
		t.Run(at.String(), func(t *testing.T) {
			t.Run("operator, then restart", func(t *testing.T) {
				w := newWorld(t)
				before, after := dieInCheckpoint(w, at)
				w.eitherOr(before, after)
				w.operator()
				w.eitherOr(before, after)
				w.rest()
				w.goesOn(w.start(), after)
			})
			t.Run("restart, then operator", func(t *testing.T) {
				w := newWorld(t)
				before, after := dieInCheckpoint(w, at)
				p := w.start() // serves, whatever pends
				w.same("served while its past pends", p.rows(), after)
				p.must(put("accounts", "while pending", "new"))
				after.set("accounts", "while pending", `{"v":"new"}`)
				if len(w.keysBelow(recovery.Prefix)) > 0 {
					var required *recovery.RequiredError
					if _, err := p.Checkpoint(t.Context()); !errors.As(err, &required) {
						t.Fatalf("checkpoint over a pending sidecar: %v", err)
					}
				}
				if err := w.recover(recovery.RollForwardOnly{}); err != nil { // its epoch is over: no fence is needed
					t.Fatal(err)
				}
				w.eitherOr(before, after)
				w.goesOn(p, after)
			})
			t.Run("recovers itself", func(t *testing.T) {
				w := newWorld(t)
				before, after := dieInCheckpoint(w, at)
				w.eitherOr(before, after)
				w.goesOn(w.start(func(o *store.Options) { o.Keyring = w.keys }), after)
			})
		})
	}
}

// A checkpoint shows all tables at one moment, whatever is written while it is made.
func TestACheckpointIsOfOneMoment(t *testing.T) {
	for _, at := range []struct {
		prefix string
		n      int
	}{{recovery.Prefix, 1}, {"tables/", 1}, {"tables/", 2}, {"manifest/", 1}} {
		w := newWorld(t)
		p := w.start()
		p.must(put("a", "k", "old"), put("b", "k", "old"))
		gate := p.bucket.On(fault.PutIfAbsent, at.prefix).Nth(at.n).ParkBefore()
		done := make(chan error, 1)
		go func() { _, err := p.Checkpoint(context.Background()); done <- err }()
		if _, err := gate.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.must(put("a", "k", "new"), put("b", "k", "new"), put("c", "k", "new"))
		gate.Release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.same("published", w.dump(), content{"a": {"k": `{"v":"old"}`}, "b": {"k": `{"v":"old"}`}})
		p.checkpoint()
		w.same("published next", w.dump(), p.rows())
		p.kill()
		w.same("after a restart", w.start().rows(), content{"a": {"k": `{"v":"new"}`}, "b": {"k": `{"v":"new"}`}, "c": {"k": `{"v":"new"}`}})
	}
}

// eitherOr checks that the root shows all of the checkpoint or nothing of it.
func (w *world) eitherOr(before, after content) {
	w.Helper()
	got := w.dump()
	if fmt.Sprint(got) != fmt.Sprint(before) {
		without := after.clone()
		without.unset("accounts", "while pending")
		w.same("published, all or nothing", got, without)
	}
}

// goesOn checks that the process serves everything and publishes it.
func (w *world) goesOn(p *process, want content) {
	w.Helper()
	w.same("served", p.rows(), want)
	p.must(put("ledger", "more", "later"))
	want.set("ledger", "more", `{"v":"later"}`)
	p.checkpoint()
	w.same("published", w.dump(), want)
	w.rest()
	w.oneRowAnOperation()
	p.kill()
}

// oneRowAnOperation checks that the trail has no operation twice.
func (w *world) oneRowAnOperation() {
	w.Helper()
	trail, err := audit.Open(w.root, "main", w.keys, audit.Options{Recoverer: "test"})
	if err != nil {
		w.Fatal(err)
	}
	seen := map[string]bool{}
	for r, err := range trail.Rows(context.Background(), 0) {
		if err != nil {
			w.Fatal(err)
		}
		if seen[r.Operation] {
			w.Fatalf("operation %s has two rows", r.Operation)
		}
		seen[r.Operation] = true
	}
}
