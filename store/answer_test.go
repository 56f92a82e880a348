// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
)

// A client that asks again under the same id gets the same answer, and it is done
// once: at once, while the first is under way, and after a restart.
func TestDoneOnceUnderOneID(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	pay := store.Transaction{ID: "pay-7", Statements: []store.Statement{put("t", "k", "7")}}
	hold := p.disk.HoldSync()
	answers := make(chan store.Result, 2)
	for range 2 {
		go func() {
			r, err := p.Transact(context.Background(), pay)
			if err != nil {
				t.Error(err)
			}
			answers <- r
		}()
	}
	<-hold.Arrived
	hold.Release()
	a, b := <-answers, <-answers
	if a.Position != b.Position || a.Repeated == b.Repeated {
		t.Fatalf("two at once: %+v and %+v", a, b)
	}
	p.must(put("t", "k", "8")) // somebody else goes on
	for _, restart := range []func(){
		func() {},
		func() { p.kill(); p = w.start() },
		func() { p.stop(); p = w.start() },
	} {
		restart()
		r, err := p.Transact(t.Context(), pay)
		if err != nil || !r.Repeated || r.Position != a.Position {
			t.Fatalf("asked again: %+v, %v; want position %d, repeated", r, err, a.Position)
		}
		w.same("afterwards", p.rows(), content{"t": {"k": `{"v":"8"}`}})
		var refusal *store.Refusal
		_, err = p.Transact(t.Context(), store.Transaction{ID: "pay-7", Statements: []store.Statement{put("t", "k", "9")}})
		if !errors.As(err, &refusal) || refusal.Reason != store.ReasonIDReused {
			t.Fatalf("another transaction under the id: %v", err)
		}
	}
}

func TestIDsAreForgottenInOrder(t *testing.T) {
	p := newWorld(t).start(func(o *store.Options) { o.Remember = 3 })
	do := func(id string) bool {
		r, err := p.Transact(t.Context(), store.Transaction{ID: id, Statements: []store.Statement{put("t", id, "1")}})
		if err != nil {
			t.Fatal(err)
		}
		return r.Repeated
	}
	for _, id := range []string{"1", "2", "3", "4"} {
		do(id)
	}
	if do("4") != true || do("3") != true || do("2") != true || do("1") != false {
		t.Fatal("the newest three are remembered, and no more")
	}
}

// A failed fsync: those who wait are told that nobody knows, later ones that
// nothing was done, and readers go on with what is durable.
func TestPoisonedStore(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	p.disk.Fail(logtest.Sync, p.disk.Count(logtest.Sync)+1, syscall.EIO)
	for i, outcome := range []string{"unknown", ""} {
		res := p.call("POST", "/v1/transactions", `{"id":"x","statements":[{"op":"put","table":"t","key":"k","row":{"v":"2"}}]}`)
		var problem store.Problem
		if err := json.Unmarshal(res.Body.Bytes(), &problem); err != nil {
			t.Fatal(err)
		}
		if i == 1 { // the same id: still not known
			outcome = "unknown"
		}
		if res.Code != http.StatusServiceUnavailable || problem.Error.Outcome != outcome || problem.Error.Reason != store.ReasonPoisoned ||
			res.Header().Get("Retry-After") == "" || !strings.Contains(problem.Error.Message, "fsync failed: ") || !strings.Contains(problem.Error.Message, "restart the process") {
			t.Fatalf("try %d: %d %v %s", i, res.Code, res.Header(), res.Body)
		}
	}
	_, err := p.Transact(t.Context(), store.Transaction{Statements: []store.Statement{put("t", "other", "3")}})
	var refusal *store.Refusal
	if !errors.As(err, &refusal) || refusal.Unknown || !errors.Is(err, syscall.EIO) {
		t.Fatalf("a later one: %v, want a refusal of which nothing was done", err)
	}
	st := p.await("the status says it", func(st control.Status) bool { return st.State == control.Poisoned })
	if !strings.Contains(st.PoisonReason, "fsync failed") || p.call("GET", "/readyz", "").Code != http.StatusServiceUnavailable {
		t.Fatalf("status %+v", st)
	}
	w.same("readers go on", p.rows(), content{"t": {"k": `{"v":"1"}`}})
	p.checkpoint() // what is durable can still be published
	w.same("dump", w.dump(), content{"t": {"k": `{"v":"1"}`}})
	p.stop()
	w.disk = p.disk.Killed()
	p = w.start() // only a restart clears it
	if r, err := p.Transact(t.Context(), store.Transaction{ID: "x", Statements: []store.Statement{put("t", "k", "2")}}); err != nil {
		t.Fatalf("asked again after the restart: %+v, %v", r, err)
	}
	w.same("after the restart", p.rows(), content{"t": {"k": `{"v":"2"}`}})
}

func TestTooManyInFlight(t *testing.T) {
	p := newWorld(t).start(func(o *store.Options) { o.MaxInFlight = 1 })
	hold := p.disk.HoldSync()
	done := make(chan error, 1)
	go func() {
		_, err := p.Transact(context.Background(), store.Transaction{Statements: []store.Statement{put("t", "k", "1")}})
		done <- err
	}()
	<-hold.Arrived
	res := p.call("POST", "/v1/transactions", `{"statements":[{"op":"get","table":"t","key":"k"}]}`)
	if res.Code != http.StatusServiceUnavailable || res.Header().Get("Retry-After") != "1" || !strings.Contains(res.Body.String(), "Overloaded") {
		t.Fatalf("%d %s", res.Code, res.Body)
	}
	hold.Release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.must(get("t", "k"))
}

// A caller who stops waiting does not know; the transaction goes its way.
func TestCallerStopsWaiting(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	hold := p.disk.HoldSync()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.Transact(ctx, store.Transaction{Statements: []store.Statement{put("t", "k", "1")}})
		done <- err
	}()
	<-hold.Arrived
	cancel()
	var refusal *store.Refusal
	if err := <-done; !errors.As(err, &refusal) || !refusal.Unknown || refusal.Reason != store.ReasonNoAnswer {
		t.Fatalf("%v", err)
	}
	hold.Release()
	p.must(put("t", "after", "2"))
	w.same("afterwards", p.rows(), content{"t": {"k": `{"v":"1"}`, "after": `{"v":"2"}`}})
}
