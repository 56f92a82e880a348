// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/test/contract"
)

// order asks the process for something, as an operator does.
func (p *process) order(id string, mode manifest.OrderMode, lasts time.Duration) {
	p.w.Helper()
	st := p.Status()
	p.put(id, manifest.Order{
		Store: st.Store, Writer: "ledger-0", Process: manifest.ProcessID(st.Process), Mode: mode, Reason: "the pod goes away", By: "test",
		Lasts: manifest.Seconds(lasts / time.Second),
	})
	p.LookFor(id)
}

func (p *process) put(id string, o manifest.Order) {
	p.w.Helper()
	if err := manifest.PutOrder(context.Background(), p.w.root, id, o); err != nil {
		p.w.Fatal(err)
	}
}

func drained(st control.Status) bool {
	return st.State == control.Draining && st.Order == "O1" && st.InFlight == 0 && st.Published == st.Durable && len(st.Open) == 0
}

// A process that is asked to drain parks its writers, finishes and publishes all that
// was acknowledged, and says so; when the order is taken back it goes on.
func TestAnOrderDrainsAProcess(t *testing.T) {
	contract.Row(t, 140, 165)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	hold := p.disk.HoldSync()
	underWay := p.try(put("t", "under way", "1"))
	<-hold.Arrived
	p.order("O1", manifest.Drain, time.Minute)
	p.await("it heeds the order", func(st control.Status) bool { return st.Order == "O1" && st.State == control.Draining })
	parked := p.try(put("t", "k", "2"))
	p.parks(1)
	if st := p.Status(); drained(st) || st.InFlight != 1 {
		t.Fatalf("drained with a transaction under way: %+v", st)
	}
	hold.Release()
	if err := <-underWay; err != nil {
		t.Fatalf("what was under way: %v", err)
	}
	if st := p.await("it has drained", drained); st.Durable != 2 {
		t.Fatalf("%+v", st)
	}
	w.same("everything that was acknowledged is in the root", w.dump(), content{"t": {"k": `{"v":"1"}`, "under way": `{"v":"1"}`}})
	if got := string(p.must(get("t", "k")).Results[0].Row); got != `{"v":"1"}` {
		t.Errorf("a reader got %s", got)
	}
	if n, err := manifest.DropOrders(context.Background(), w.root, "ledger-0", ""); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	p.Refresh()
	if err := <-parked; err != nil {
		t.Fatalf("who was parked: %v", err)
	}
	if st := p.Status(); st.State != control.Serving || st.Order != "" {
		t.Fatalf("%+v", st)
	}
	w.rest()
}

// An order for another process, of another store or that nobody can read moves nobody;
// nor does a call that names none.
func TestAnOrderIsForOneProcess(t *testing.T) {
	contract.Row(t, 165)
	w := newWorld(t)
	p := w.start()
	st := p.Status()
	mine := manifest.Order{Store: st.Store, Writer: "ledger-0", Process: manifest.ProcessID(st.Process), Mode: manifest.Drain, Lasts: 60}
	successor, copied := mine, mine
	successor.Process, copied.Store = "ANOTHER", "ANOTHER"
	p.put("another-process", successor)
	p.put("another-store", copied)
	if _, err := w.root.PutIfAbsent(context.Background(), manifest.OrderKey("ledger-0", "garbage"), []byte("drain!"), "x"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"another-process", "another-store", "garbage", "none", "../../store"} {
		p.LookFor(id)
		p.must(put("t", id, "1"))
		p.checkpoint() // a pass after the look
		if st := p.Status(); st.State != control.Serving || st.Order != "" {
			t.Fatalf("order %s: %+v", id, st)
		}
	}
}

// Nobody has to be there to end an order: it is over after its time, for good.
func TestAnOrderEndsByItself(t *testing.T) {
	contract.Row(t, 165)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.start()
		p.order("O1", manifest.Drain, 40*time.Second)
		p.await("it has drained", drained)
		began := time.Now()
		err := <-p.try(put("t", "k", "1"))
		var refusal *store.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != store.ReasonDraining || refusal.RetryAfter == 0 || !strings.Contains(refusal.Message, "the pod goes away (asked by test)") {
			t.Fatalf("who was parked in vain is told %v", err)
		}
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("parked for %s", d)
		}
		time.Sleep(19 * time.Second)
		if st := p.Status(); st.State != control.Draining {
			t.Errorf("before its time was over: %+v", st)
		}
		p.await("it serves again", func(st control.Status) bool { return st.State == control.Serving && st.Order == "" })
		if d := time.Since(began); d < 30*time.Second || d > 50*time.Second {
			t.Errorf("the order lasted %s", d)
		}
		p.LookFor("O1")
		p.must(put("t", "k", "2"))
		if st := p.Status(); st.Order != "" {
			t.Errorf("an order that is over is heeded: %+v", st)
		}
		p.kill()
	})
}

// A process that is asked to hasten goes on taking writes, and has little unpublished.
func TestAnOrderHastensCheckpoints(t *testing.T) {
	contract.Row(t, 140)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.start() // with a checkpoint an hour
		p.order("O1", manifest.Hasten, 30*time.Second)
		p.await("it heeds the order", func(st control.Status) bool { return st.Order == "O1" })
		for range 5 {
			p.must(put("t", "k", "1"))
			time.Sleep(1100 * time.Millisecond)
			if st := p.Status(); st.State != control.Serving || st.Published != st.Durable {
				t.Fatalf("a second after a write: %+v", st)
			}
		}
		time.Sleep(time.Minute)
		p.must(put("t", "k", "2"))
		time.Sleep(time.Minute)
		if st := p.Status(); st.Order != "" || st.Published == st.Durable {
			t.Errorf("after the order: %+v", st)
		}
		p.kill()
	})
}

// At the end a root that comes back in time gets everything.
func TestTheLastCheckpointIsTriedAgain(t *testing.T) {
	contract.Row(t, 165)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	var away atomic.Bool
	away.Store(true)
	p.bucket.When("everything while the object store is away", func(fault.Call) bool { return away.Load() }).Fail(errors.New("503"))
	down := make(chan error, 1)
	go func() { down <- p.Shutdown(context.Background()) }()
	p.await("the last checkpoint waits", func(st control.Status) bool { return strings.Contains(st.Waiting, "503") })
	away.Store(false)
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-p.ended, p.Left()); err != nil {
		t.Fatal(err)
	}
	w.same("the last checkpoint", w.dump(), content{"t": {"k": `{"v":"1"}`}})
	w.rest()
}

// What the root did not get is in the log, and the end says so.
func TestTheEndSaysWhatIsLeft(t *testing.T) {
	contract.Row(t, 165)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	p.checkpoint()
	p.must(put("t", "k", "2"))
	p.must(put("t", "k", "3"))
	p.bucket.On(fault.Any, "").Fail(errors.New("the network is gone"))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Fatal(err)
	}
	var left *store.LeftError
	if err := p.Left(); !errors.As(err, &left) || left.Published != 1 || left.Durable != 3 || !strings.Contains(left.Error(), "the network is gone") {
		t.Fatalf("%v", err)
	}
	again := w.start()
	again.checkpoint()
	w.same("after a restart", w.dump(), content{"t": {"k": `{"v":"3"}`}})
}

// A process that ends before it has served does not say that everything is published.
func TestWhoNeverServedDoesNotSayThatAllIsPublished(t *testing.T) {
	contract.Row(t, 165)
	w := newWorld(t)
	p := w.start(func(o *store.Options) { o.SegmentSize = 200 })
	for range 20 {
		p.must(put("t", "k", "1"))
	}
	p.checkpoint() // and the log is cut: a start needs the root
	p.must(put("t", "k", "2"))
	p.kill()
	p = w.launch(func(o *store.Options) {
		o.OpenRoot = func(context.Context) (objstore.Bucket, error) { return nil, errors.New("no route to host") }
	})
	p.await("it waits for the root", func(st control.Status) bool { return strings.Contains(st.Waiting, "no route to host") })
	if err := p.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	var left *store.LeftError
	if err := p.Left(); !errors.As(err, &left) {
		t.Fatalf("it says %v", err)
	}
}
