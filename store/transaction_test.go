// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/store"
)

func TestATransactionSeesItselfAndWhatCameBefore(t *testing.T) {
	p := newWorld(t).start()
	p.must(put("a", "k", "1"))
	r := p.must(
		get("a", "k"), get("b", "k"),
		put("b", "k", "2"), get("b", "k"),
		del("a", "k"), get("a", "k"),
		put("a", "k", "3"), get("a", "k"), get("never", "k"),
	)
	want := []store.Read{
		{Found: true, Row: row("1")}, {},
		{}, {Found: true, Row: row("2")},
		{}, {},
		{}, {Found: true, Row: row("3")}, {},
	}
	for i := range r.Results {
		r.Results[i].ETag, r.Results[i].Modified = "", 0 // TestWhatAGetTells
	}
	if !reflect.DeepEqual(r.Results, want) || r.Position != 2 || r.Writer != "ledger-0" {
		t.Fatalf("got %+v", r)
	}
	p.w.same("afterwards", p.rows(), content{"a": {"k": `{"v":"3"}`}, "b": {"k": `{"v":"2"}`}})
}

func TestWhatIsNoTransaction(t *testing.T) {
	p := newWorld(t).start()
	for _, c := range []struct{ body, says string }{
		{`{`, "the body is no transaction"},
		{`{"statements":[]}`, "1 to 10000 statements, this one has 0"},
		{`{"statement":[]}`, "unknown field"},
		{`{"statements":[{"op":"upsert","table":"t","key":"k"}]}`, `statement 0: op "upsert": want put, delete, get, savepoint, rollback_to or release`},
		{`{"statements":[{"op":"put","table":"t","key":"k"}]}`, "want a JSON object"},
		{`{"statements":[{"op":"put","table":"t","key":"k","row":[1]}]}`, "the row is [1]: want a JSON object"},
		{`{"statements":[{"op":"put","table":"t","key":"k","row":{"a":"` + "\xff" + `"}}]}`, "no JSON in UTF-8"},
		{`{"statements":[{"op":"put","table":"t","key":"k","row":{"a":"` + strings.Repeat("x", 1<<20) + `"}}]}`, "at most 1048576 are taken"},
		{`{"statements":[{"op":"get","table":"t","key":"k","row":{}}]}`, "a get has no row"},
		{`{"statements":[{"op":"get","table":"","key":"k"}]}`, "want 1 to 64 characters"},
		{`{"statements":[{"op":"get","table":"a.b","key":"k"}]}`, `character '.' is not allowed`},
		{`{"statements":[{"op":"get","table":"` + strings.Repeat("t", 65) + `","key":"k"}]}`, "want 1 to 64 characters"},
		{`{"statements":[{"op":"get","table":"t","key":""}]}`, "want 1 to 512 bytes"},
		{`{"statements":[{"op":"get","table":"t","key":"a\u0000b"}]}`, "without control characters"},
		{`{"id":"` + strings.Repeat("x", 600) + `","statements":[{"op":"get","table":"t","key":"k"}]}`, "want at most 512 bytes"},
	} {
		res := p.call("POST", "/v1/transactions", c.body)
		if res.Code != http.StatusBadRequest || !strings.Contains(res.Body.String(), jsonText(c.says)) || !strings.Contains(res.Body.String(), `"reason":"Invalid"`) {
			t.Errorf("%.60s: %d %s, want 400 saying %q", c.body, res.Code, res.Body, c.says)
		}
	}
	if res := p.call("POST", "/v1/transactions", `{"id":"`+strings.Repeat("x", 9<<20)); res.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 9 MiB: %d %s", res.Code, res.Body)
	}
	if n := p.Status().Next; n != 1 {
		t.Fatalf("something was written: next position %d", n)
	}
}

func jsonText(s string) string {
	raw, _ := json.Marshal(s)
	return strings.Trim(string(raw), `"`)
}

// All or nothing: one bad statement, and nothing of the others is done.
func TestABadStatementSpoilsAll(t *testing.T) {
	p := newWorld(t).start()
	_, err := p.Transact(t.Context(), store.Transaction{Statements: []store.Statement{put("t", "k", "1"), put("t", "", "2")}})
	if err == nil {
		t.Fatal("it was taken")
	}
	p.w.same("afterwards", p.rows(), content{})
}

// The bytes of a row are the same wherever it is read.
func TestOneFormOfARow(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	res := p.call("POST", "/v1/transactions", `{"statements":[{"op":"put","table":"t","key":"k <&> k","row":{ "b" : 1.50, "a":"<é & 日本>", "big": 12345678901234567890 }}]}`)
	if res.Code != http.StatusOK {
		t.Fatal(res.Body)
	}
	want := content{"t": {"k <&> k": `{"b":1.50,"a":"\u003cé \u0026 日本\u003e","big":12345678901234567890}`}}
	w.same("API", p.rows(), want)
	p.checkpoint()
	w.same("dump", w.dump(), want)
	p.kill()
	p = w.start()
	w.same("after a restart", p.rows(), want)
	if res := p.call("GET", "/v1/tables/t/rows/k%20%3C&%3E%20k", ""); res.Code != http.StatusOK || !strings.Contains(res.Body.String(), `"big":12345678901234567890`) {
		t.Fatalf("one row: %d %s", res.Code, res.Body)
	}
	raw := store.Statement{Op: store.OpPut, Table: "u", Key: "k", Row: []byte(" { \"a\" : 1 } ")}
	if r := p.must(raw, get("u", "k")); string(r.Results[1].Row) != `{"a":1}` {
		t.Fatalf("a row given in the process itself came back as %q", r.Results[1].Row)
	}
}

// Readers see a transaction when it is durable, and not before. A transaction that
// comes after it in the log sees it already, and is answered after it.
func TestLogCommitPrecedesVisibility(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", "old"))
	hold := p.disk.HoldSync()
	first, second := make(chan error, 1), make(chan store.Result, 1)
	go func() {
		_, err := p.Transact(context.Background(), store.Transaction{Statements: []store.Statement{put("t", "k", "new"), put("u", "k", "new")}})
		first <- err
	}()
	<-hold.Arrived
	go func() {
		r, err := p.Transact(context.Background(), store.Transaction{Statements: []store.Statement{get("t", "k"), put("t", "seen", "x")}})
		if err != nil {
			t.Error(err)
		}
		second <- r
	}()
	p.await("both are under way", func(st control.Status) bool { return st.Next == 4 || st.InFlight == 2 })
	w.same("before the fsync", p.rows(), content{"t": {"k": `{"v":"old"}`}})
	if r := p.must(get("t", "k"), get("u", "k")); string(r.Results[0].Row) != `{"v":"old"}` || r.Results[1].Found || r.Position != 1 {
		t.Fatalf("a reader saw what is not durable: %+v", r)
	}
	select {
	case err := <-first:
		t.Fatalf("answered before the fsync: %v", err)
	case r := <-second:
		t.Fatalf("answered before the fsync: %+v", r)
	default:
	}
	hold.Release()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if r := <-second; string(r.Results[0].Row) != `{"v":"new"}` {
		t.Fatalf("the later one read %+v", r)
	}
	w.same("after the fsync", p.rows(), content{"t": {"k": `{"v":"new"}`, "seen": `{"v":"x"}`}, "u": {"k": `{"v":"new"}`}})
}

// Many write the same token to two tables; nobody ever reads two different ones.
func TestNobodySeesHalfATransaction(t *testing.T) {
	p := newWorld(t).start()
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for n := range 4 {
		writers.Go(func() {
			for i := range 60 {
				v := fmt.Sprintf("%d-%d", n, i)
				p.must(put("a", "k", v), put("b", "k", v))
			}
		})
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if r := p.must(get("a", "k"), get("b", "k")); string(r.Results[0].Row) != string(r.Results[1].Row) {
					t.Errorf("read %s and %s", r.Results[0].Row, r.Results[1].Row)
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}
