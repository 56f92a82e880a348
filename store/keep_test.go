// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/objstore/fault"
	"github.com/salvor-io/salvor/store"
)

// An idle store makes no request, hour after hour; one that changes publishes once
// an interval.
func TestIdleCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.start(func(o *store.Options) { o.Checkpoint = 10 * time.Second })
		p.must(put("t", "k", "1"))
		began := time.Now()
		p.await("it is published", func(st control.Status) bool { return st.Published == 1 })
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("published after %s", d)
		}
		before := len(p.bucket.Calls())
		pass(24 * time.Hour)
		if calls := p.bucket.Calls()[before:]; len(calls) > 0 {
			t.Errorf("%d requests in an idle day: %v", len(calls), calls[0])
		}
		p.kill()
	})
}

// pass lets time go by in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// Many refreshes are a few looks at the manifest, and no checkpoint.
func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.start()
		p.must(put("t", "k", "1"))
		before := len(p.bucket.Calls())
		for range 1000 {
			p.Refresh()
			pass(time.Millisecond)
		}
		if n := len(p.bucket.Calls()) - before; n < 5 || n > 12 {
			t.Errorf("%d requests for a thousand refreshes in a second, want about ten", n)
		}
		if st := p.Status(); st.Published != 0 {
			t.Errorf("a refresh made a checkpoint: %+v", st)
		}
		p.kill()
	})
}

// While the root is away checkpoints are tried with growing pauses and transactions
// go on; when it is back everything goes out.
func TestTheRootIsAwayForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := w.start(func(o *store.Options) { o.Checkpoint = time.Second })
		away := errors.New("connection refused")
		began := time.Now()
		p.bucket.When("the root is away", func(fault.Call) bool { return time.Since(began) < time.Hour }).Fail(away)
		p.must(put("t", "k", "1"))
		pass(30 * time.Minute)
		p.must(put("t", "k", "2"))
		if st := p.Status(); st.State != control.Serving || !strings.Contains(st.Waiting, "connection refused") {
			t.Errorf("status %+v", st)
		}
		if n := len(p.bucket.Calls()); n < 60 || n > 2000 {
			t.Errorf("%d requests in half an hour", n)
		}
		pass(31 * time.Minute)
		w.same("published", w.dump(), content{"t": {"k": `{"v":"2"}`}})
		if st := p.Status(); st.Waiting != "" {
			t.Errorf("still waits: %s", st.Waiting)
		}
		p.kill()
	})
}

// SIGTERM: what is under way is finished, newcomers are told, the last checkpoint
// goes out.
func TestAnOrderlyEnd(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	hold := p.disk.HoldSync()
	underWay, down := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := p.Transact(context.Background(), store.Transaction{Statements: []store.Statement{put("t", "k", "1")}})
		underWay <- err
	}()
	<-hold.Arrived
	go func() { down <- p.Shutdown(context.Background()) }()
	p.await("it drains", func(st control.Status) bool { return st.State == control.Draining })
	res := p.call("POST", "/v1/transactions", `{"statements":[{"op":"get","table":"t","key":"k"}]}`)
	if res.Code != http.StatusServiceUnavailable || !strings.Contains(res.Body.String(), "Draining") {
		t.Errorf("a newcomer: %d %s", res.Code, res.Body)
	}
	select {
	case err := <-down:
		t.Fatalf("ended before what was under way: %v", err)
	default:
	}
	hold.Release()
	if err := <-underWay; err != nil {
		t.Fatalf("what was under way: %v", err)
	}
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Fatal(err)
	}
	w.same("the last checkpoint", w.dump(), content{"t": {"k": `{"v":"1"}`}})
	w.rest()
	w.same("after a restart", w.start().rows(), content{"t": {"k": `{"v":"1"}`}})
}

// A root that does not answer holds the end up no longer than it may.
func TestTheEndIsBounded(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	gate := p.bucket.On(fault.PutIfAbsent, "tables/").ParkBefore()
	ctx, cancel := context.WithCancel(context.Background())
	down := make(chan error, 1)
	go func() { down <- p.Shutdown(ctx) }()
	if _, err := gate.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-down; !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if err := <-p.ended; err != nil {
		t.Fatal(err)
	}
	p = w.start()
	w.same("after a restart", p.rows(), content{"t": {"k": `{"v":"1"}`}})
}

func TestListings(t *testing.T) {
	p := newWorld(t).start()
	for _, k := range []string{"c", "a", "b/1", "b/2", "é"} {
		p.must(put("t", k, k))
	}
	var page store.Page
	p.getJSON("/v1/tables/t/rows?limit=2", &page)
	if len(page.Rows) != 2 || page.Rows[0].Key != "a" || page.Next != "b/1" || page.Position != 5 {
		t.Fatalf("%+v", page)
	}
	p.getJSON("/v1/tables/t/rows?limit=10&after=b/1", &page)
	if len(page.Rows) != 3 || page.Rows[0].Key != "b/2" || page.Rows[2].Key != "é" {
		t.Fatalf("%+v", page)
	}
	var one store.Row
	p.getJSON("/v1/tables/t/rows/b%2F2", &one)
	if one.Key != "b/2" || string(one.Row) != `{"v":"b/2"}` {
		t.Fatalf("%+v", one)
	}
	for path, code := range map[string]int{
		"/v1/tables/t/rows/none": 404, "/v1/tables/none/rows": 404, "/v1/tables/t/rows?limit=0": 400, "/v1/tables/t/rows?limit=x": 400,
	} {
		if res := p.call("GET", path, ""); res.Code != code {
			t.Errorf("%s: %d %s", path, res.Code, res.Body)
		}
	}
}
