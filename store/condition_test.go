// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/test/contract"
)

func onlyIf(s store.Statement, c store.Condition) store.Statement {
	s.If = &c
	return s
}

// etagOf reads the etag of a row.
func (p *process) etagOf(table, key string) string {
	p.w.Helper()
	return p.must(get(table, key)).Results[0].ETag
}

// Every condition on every row that there can be. k was written at position 1 and is
// {"v":"1"}; old was written at 2, deleted at 3; twice at 4 and 5.
func TestEveryConditionOnEveryRow(t *testing.T) {
	contract.Row(t, 41)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "1"))
	p.must(put("t", "old", "1"))
	p.must(del("t", "old"))
	p.must(put("t", "twice", "1"))
	p.must(put("t", "twice", "2"))
	one, two := p.etagOf("t", "k"), p.etagOf("t", "twice")
	conditions := map[string]store.Condition{
		"is there": {Match: "*"}, "is not there": {NoneMatch: "*"},
		"is etag 1": {Match: one}, "is not etag 1": {NoneMatch: one}, "is etag 2": {Match: two},
		"is row 1": {Row: json.RawMessage(`{ "v" : "1" }`)}, "is row 2": {Row: row("2")},
		"unmodified since 1": {UnmodifiedSince: 1}, "unmodified since 4": {UnmodifiedSince: 4}, "unmodified since 5": {UnmodifiedSince: 5},
	}
	holds := map[string]string{
		"k":     " is there, is etag 1, is row 1, unmodified since 1, unmodified since 4, unmodified since 5,",
		"old":   " is not there, is not etag 1,",
		"never": " is not there, is not etag 1,",
		"twice": " is there, is not etag 1, is etag 2, is row 2, unmodified since 5,",
	}
	before, bytes := p.rows(), p.Status()
	for key, which := range holds {
		for what, c := range conditions {
			want := contains(which, " "+what+",")
			for _, s := range []store.Statement{onlyIf(put("t", key, "new"), c), onlyIf(del("t", key), c), onlyIf(get("t", key), c)} {
				// The last statement makes sure that nothing stays.
				_, err := p.Transact(t.Context(), store.Transaction{Statements: []store.Statement{
					put("t", "side", "effect"), s, onlyIf(put("t", "side", "effect"), store.Condition{NoneMatch: "*"}),
				}})
				var refusal *store.Refusal
				if !errors.As(err, &refusal) || refusal.Reason != store.ReasonPrecondition || refusal.Unknown || refusal.Failed == nil {
					t.Fatalf("%s %s: %v", key, what, err)
				}
				f, at := refusal.Failed, 2
				if !want {
					at = 1
				}
				if f.Statement != at {
					t.Errorf("%s of row %s if it %s: statement %d failed, want %d: %v", s.Op, key, what, f.Statement, at, err)
				}
				if at == 1 && (f.Table != "t" || f.Key != key || f.Is.Found != (before["t"][key] != "") || string(f.Is.Row) != before["t"][key]) {
					t.Errorf("%s %s: told of %+v", key, what, f)
				}
			}
		}
	}
	if st := p.Status(); st.Next != bytes.Next || st.LogBytes != bytes.LogBytes {
		t.Fatalf("something is in the log: %+v, was %+v", st, bytes)
	}
	w.same("afterwards", p.rows(), before)
}

func contains(list, what string) bool {
	for i := 0; i+len(what) <= len(list); i++ {
		if list[i:i+len(what)] == what {
			return true
		}
	}
	return false
}

// The refusal over HTTP: 412, which statement, and what there is.
func TestAPreconditionOverHTTP(t *testing.T) {
	p := newWorld(t).start()
	p.must(put("t", "k", "1"))
	res := p.call("GET", "/v1/tables/t/rows/k", "")
	tag := res.Header().Get("ETag")
	if tag != `"`+p.etagOf("t", "k")+`"` {
		t.Fatalf("ETag %s", tag)
	}
	res = p.call("POST", "/v1/transactions", `{"statements":[{"op":"put","table":"t","key":"new","row":{}},{"op":"put","table":"t","key":"k","row":{},"if":{"noneMatch":"*"}}]}`)
	var problem store.Problem
	if err := json.Unmarshal(res.Body.Bytes(), &problem); err != nil {
		t.Fatal(err)
	}
	f := problem.Error.Failed
	if res.Code != http.StatusPreconditionFailed || problem.Error.Reason != store.ReasonPrecondition || f == nil || f.Statement != 1 || f.Key != "k" ||
		string(f.Is.Row) != `{"v":"1"}` || `"`+f.Is.ETag+`"` != tag || f.Is.Modified != 1 || f.If.NoneMatch != "*" {
		t.Fatalf("%d %s", res.Code, res.Body)
	}
	if n := p.Metrics().Refusals[store.ReasonPrecondition]; n != 1 {
		t.Fatalf("%d were counted", n)
	}
	for _, c := range []string{`{}`, `{"match":"*","noneMatch":"*"}`, `{"match":"12"}`, `{"row":[1]}`, `{"other":1}`} {
		res := p.call("POST", "/v1/transactions", `{"statements":[{"op":"put","table":"t","key":"k","row":{},"if":`+c+`}]}`)
		if res.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", c, res.Code, res.Body)
		}
	}
}

// Many writers at once, each of whom increments one row if it is as he read it: under
// group commit nobody's increment is lost, whoever fails is told what was durable.
func TestCompareAndSetUnderGroupCommit(t *testing.T) {
	contract.Row(t, 63)
	p := newWorld(t).start()
	p.must(put("t", "n", "0"))
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				is := p.must(get("t", "n")).Results[0]
				var n int
				if _, err := fmt.Sscanf(string(is.Row), `{"v":"%d"}`, &n); err != nil {
					t.Error(err)
					return
				}
				_, err := p.Transact(context.Background(), store.Transaction{Statements: []store.Statement{onlyIf(put("t", "n", fmt.Sprint(n+1)), store.Condition{Match: is.ETag})}})
				var refusal *store.Refusal
				switch {
				case err == nil:
					done++
				case errors.As(err, &refusal) && refusal.Reason == store.ReasonPrecondition:
					if durable := log.Position(p.Status().Durable); refusal.Failed.Is.Modified > durable {
						t.Errorf("told of position %d, and %d is durable", refusal.Failed.Is.Modified, durable)
					}
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	p.w.same("afterwards", p.rows(), content{"t": {"n": fmt.Sprintf(`{"v":"%d"}`, writers*each)}})
	if n := p.Status().Next; n != writers*each+2 {
		t.Fatalf("the log has %d positions: what failed is in it", n-1)
	}
}

// Whoever comes behind a write that is not durable yet is refused because of it when it
// is, and no earlier.
func TestAnObstacleIsDurableWhenItIsTold(t *testing.T) {
	contract.Row(t, 63)
	p := newWorld(t).start()
	hold := p.disk.HoldSync()
	first, second := make(chan error, 1), make(chan error, 1)
	do := func(to chan<- error) {
		_, err := p.Transact(context.Background(), store.Transaction{Statements: []store.Statement{onlyIf(put("t", "k", "1"), store.Condition{NoneMatch: "*"})}})
		to <- err
	}
	go do(first)
	<-hold.Arrived
	go do(second)
	p.await("both are under way", func(st control.Status) bool { return st.InFlight == 2 })
	select {
	case err := <-second:
		t.Fatalf("told of what is not durable: %v", err)
	default:
	}
	hold.Release()
	var refusal *store.Refusal
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if err := <-second; !errors.As(err, &refusal) || refusal.Reason != store.ReasonPrecondition || refusal.Failed.Is.Modified != 1 {
		t.Fatalf("the second: %v", err)
	}
}

// A transaction with a precondition that was done is done: sent again under its id it is
// not looked at again. After a restart rows that the root gave back are known to be no
// newer than its checkpoint.
func TestPreconditionsAndTimeGoingBy(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	once := store.Transaction{ID: "once", Statements: []store.Statement{onlyIf(put("t", "k", "1"), store.Condition{NoneMatch: "*"})}}
	for _, repeated := range []bool{false, true} {
		if r, err := p.Transact(t.Context(), once); err != nil || r.Repeated != repeated || r.Position != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	for range 100 {
		p.must(put("t", "other", "0123456789012345678901234567890123456789"))
	}
	p.checkpoint()
	tag := p.etagOf("t", "k")
	p.stop()
	p = w.start()
	is := p.must(get("t", "k")).Results[0]
	if is.ETag != tag || is.Modified != 101 {
		t.Fatalf("after a restart: %+v", is)
	}
	p.must(onlyIf(put("t", "k", "2"), store.Condition{UnmodifiedSince: 101}))
	if is := p.must(get("t", "k")).Results[0]; is.Modified != 102 {
		t.Fatalf("written again: %+v", is)
	}
}
