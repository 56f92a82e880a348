// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// fence ends the writer's epoch, as an operator does that takes it for dead.
func (w *world) fence() {
	w.Helper()
	ctx := context.Background()
	m, err := manifest.Open(ctx, w.root, manifest.Options{NewID: newID})
	if err != nil {
		w.Fatal(err)
	}
	_, err = m.Publish(ctx, manifest.Publication{
		By:      manifest.Publisher{Role: manifest.RoleRecovery, Process: "operator"},
		Entries: []manifest.Entry{manifest.Fence("ledger-0", m.View().Writers["ledger-0"])},
	})
	if err != nil {
		w.Fatal(err)
	}
}

// A writer that was fenced by mistake registers again and loses nothing: when it is
// nudged, and when it finds out by itself.
func TestFencedByMistake(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	w.fence()
	p.Refresh()
	p.await("it has registered again", func(st control.Status) bool { return st.Epoch == 3 })
	w.fence()
	p.must(put("t", "k", "2"))
	p.checkpoint()
	w.same("published", w.dump(), content{"t": {"k": `{"v":"2"}`}})
	if e := p.Status().Epoch; e != 5 {
		t.Fatalf("epoch %d, want 5", e)
	}
	w.rest()
}

// Fenced in the middle of a checkpoint, whose operation the operator then closes:
// the rows go out with the next one, under a new id.
func TestFencedInACheckpoint(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	gate := p.bucket.On(fault.PutIfAbsent, "tables/").ParkBefore()
	done := make(chan error, 1)
	go func() {
		_, err := p.Checkpoint(context.Background())
		done <- err
	}()
	if _, err := gate.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.operator() // fences, and abandons what is not confirmed
	gate.Release()
	if err := <-done; !errors.Is(err, recovery.ErrFailed) {
		t.Fatalf("the checkpoint: %v, want ErrFailed", err)
	}
	p.must(put("t", "k", "2"))
	p.checkpoint()
	w.same("published", w.dump(), content{"t": {"k": `{"v":"2"}`}})
	w.oneRowAnOperation()
}

// The operator finishes a checkpoint for a writer that it took for dead. The writer
// goes on from there.
func TestFinishedByTheOperator(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	gate := p.bucket.On(fault.PutIfAbsent, "manifest/").ParkBefore()
	done := make(chan recovery.Result, 1)
	go func() {
		r, err := p.Checkpoint(context.Background())
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	if _, err := gate.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.operator()
	w.same("published by the operator", w.dump(), content{"t": {"k": `{"v":"1"}`}})
	gate.Release()
	if r := <-done; !r.ByRecovery {
		t.Fatalf("%+v, want it published by recovery", r)
	}
	if r := p.checkpoint(); r.Operation != "" {
		t.Fatalf("nothing has changed, and %+v was published", r)
	}
	p.must(put("t", "k", "2"))
	p.checkpoint()
	w.same("published", w.dump(), content{"t": {"k": `{"v":"2"}`}})
}

// A process without an operator gives an operation up, since no answer comes, and
// finishes it by its own recovery when the root answers again.
func TestFinishesByItselfWhatItGaveUp(t *testing.T) {
	w := newWorld(t)
	p := w.start(func(o *store.Options) {
		o.Keyring = w.keys
		o.Await = 20 * time.Millisecond
		o.Checkpoint = 5 * time.Millisecond
	})
	var away atomic.Bool
	away.Store(true)
	p.bucket.When("publications fail", func(c fault.Call) bool {
		return away.Load() && c.Verb == fault.PutIfAbsent && strings.HasPrefix(c.Key, manifest.Prefix)
	}).Fail(errors.New("slow down"))
	p.must(put("t", "k", "1"))
	p.await("it has given the operation up", func(st control.Status) bool { return len(st.Abandoned) == 1 && st.Waiting != "" })
	p.must(put("t", "k", "2"))
	away.Store(false)
	p.await("everything is published", func(st control.Status) bool { return st.Published == 2 && len(st.Abandoned) == 0 })
	w.same("published", w.dump(), content{"t": {"k": `{"v":"2"}`}})
	w.rest()
	w.oneRowAnOperation()
	if said := strings.Join(p.lines(), "\n"); !strings.Contains(said, "recovered operation") {
		t.Fatalf("said %q", said)
	}
}

// A process that has been succeeded on another disk ends, with a clear message.
func TestSucceededByAnotherProcess(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	elsewhere := &world{tb: t, root: w.root, disk: logtest.New(), keys: w.keys}
	second := elsewhere.start()
	if _, err := p.Checkpoint(t.Context()); !errors.Is(err, manifest.ErrSuperseded) {
		t.Fatalf("the older one's checkpoint: %v", err)
	}
	if err := <-p.ended; !errors.Is(err, manifest.ErrSuperseded) {
		t.Fatalf("the older one ended with %v", err)
	}
	if _, err := p.Transact(t.Context(), store.Transaction{Statements: []store.Statement{put("t", "k", "2")}}); err == nil {
		t.Fatal("it still takes transactions")
	}
	second.must(put("t", "k", "3"))
	second.checkpoint()
	w.same("published", w.dump(), content{"t": {"k": `{"v":"3"}`}})
}

// A pending operation of the own past holds the checkpoint back, says so, and a
// refresh after the operator has resolved it is enough to go on.
func TestARefreshLooksAgainAtOnce(t *testing.T) {
	w := newWorld(t)
	_, after := dieInCheckpoint(w, fault.CrashPoint{Write: 1, Moment: fault.Unacknowledged})
	p := w.start()
	op := w.keysBelow(recovery.Prefix)[0][len(recovery.Prefix):]
	_, err := p.Checkpoint(t.Context())
	var required *recovery.RequiredError
	if !errors.As(err, &required) || string(required.Operation) != op {
		t.Fatalf("%v, want operation %s required", err, op)
	}
	p.await("it says what it waits for", func(st control.Status) bool { return st.State == control.Serving && st.Waiting != "" })
	w.operator()
	p.Refresh()
	p.await("it has gone on", func(st control.Status) bool { return st.Waiting == "" && st.Published == st.Durable })
	w.same("published", w.dump(), after)
}

// The streams are told at once which operation is open: their reader must know it
// if this process dies in the next moment.
func TestAnOpenOperationIsToldAtOnce(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	gate := p.bucket.On(fault.PutIfAbsent, "tables/").ParkBefore()
	changed := p.Changed()
	done := make(chan error, 1)
	go func() { _, err := p.Checkpoint(context.Background()); done <- err }()
	if _, err := gate.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Fatal("the sidecar is there and nobody was told")
	}
	op := w.keysBelow(recovery.Prefix)[0][len(recovery.Prefix):]
	if st := p.Status(); !slices.Equal(st.Open, []string{op}) {
		t.Fatalf("open %q, want %s", st.Open, op)
	}
	gate.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if st := p.Status(); len(st.Open) != 0 || st.Published != 1 {
		t.Fatalf("afterwards %+v", st)
	}
}

// A lost answer of a publication is looked up; the rows are never published twice
// or told as failed.
func TestLostAnswers(t *testing.T) {
	for _, prefix := range []string{"recovery/", "tables/", "manifest/"} {
		t.Run(prefix, func(t *testing.T) {
			w := newWorld(t)
			p := w.start()
			p.must(put("t", "k", "1"))
			p.bucket.On(fault.PutIfAbsent, prefix).Nth(1).LoseAnswer()
			p.checkpoint()
			p.bucket.VerifyFired(t)
			w.same("published", w.dump(), content{"t": {"k": `{"v":"1"}`}})
			w.rest()
		})
	}
}
