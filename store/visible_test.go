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

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log/logtest"
	"github.com/salvor-io/salvor/test/contract"
)

// readers are all ways to read a store, as one text.
func (p *process) readers() string {
	p.w.Helper()
	out := fmt.Sprintln("pages", p.rows())
	r := p.must(get("t", "k"), get("t", "new"))
	out += fmt.Sprintln("gets", string(r.Results[0].Row), r.Results[0].Modified, r.Results[1].Found, r.Position)
	for _, key := range []string{"k", "new"} {
		res := p.call("GET", "/v1/tables/t/rows/"+key, "")
		out += fmt.Sprintln("row", key, res.Code, res.Body, res.Header().Get("ETag"))
	}
	snap, err := p.OpenSnapshot(0)
	if err != nil {
		p.w.Fatal(err)
	}
	defer p.CloseSnapshot(snap.ID)
	out += fmt.Sprintln("snapshot", snap.Position, p.call("GET", "/v1/tables/t/rows?snapshot="+snap.ID, "").Body)
	f := p.changes("from=1")
	out += fmt.Sprintln("feed", f.changes, f.end.Next)
	return out
}

// A transaction whose commit the log fails was never visible: in a page, a get, a
// snapshot, a feed, as somebody's obstacle, or in what is published; before the failure,
// after it, for good.
func TestWhatTheLogDidNotTakeNobodySaw(t *testing.T) {
	contract.Row(t, 63)
	for _, op := range []logtest.Op{logtest.Write, logtest.Sync} {
		t.Run(string(op), func(t *testing.T) {
			w := newWorld(t)
			p := w.start()
			p.must(put("t", "k", "old"))
			before := p.readers()
			fail := func() { p.disk.Fail(op, p.disk.Count(op)+1, syscall.EIO) }
			if op == logtest.Write {
				fail()
			}
			hold := p.disk.HoldSync()
			failed, obstacle := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := p.Transact(context.Background(), store.Transaction{ID: "lost", Statements: []store.Statement{put("t", "k", "lost"), put("t", "new", "lost"), put("u", "k", "lost")}})
				failed <- err
			}()
			if op == logtest.Sync {
				<-hold.Arrived
				if now := p.readers(); now != before {
					t.Fatalf("it was visible before it was durable:\n%s\n%s", before, now)
				}
				go func() {
					_, err := p.Transact(context.Background(), store.Transaction{Statements: []store.Statement{{Op: store.OpPut, Table: "t", Key: "new", Row: row("mine"), If: &store.Condition{NoneMatch: "*"}}}})
					obstacle <- err
				}()
				p.await("both are under way", func(st control.Status) bool { return st.InFlight == 2 })
				fail()
			} else {
				obstacle <- &store.Refusal{Reason: store.ReasonPoisoned}
			}
			hold.Release()
			for what, err := range map[string]error{"the transaction": <-failed, "whom it was in the way of": <-obstacle} {
				var refusal *store.Refusal
				if !errors.As(err, &refusal) || refusal.Reason != store.ReasonPoisoned || refusal.Failed != nil {
					t.Fatalf("%s: %v, want that the log is poisoned", what, err)
				}
			}
			if now := p.readers(); now != before {
				t.Fatalf("it is visible after the log has failed:\n%s\n%s", before, now)
			}
			p.checkpoint()
			w.same("what is published", w.dump(), content{"t": {"k": `{"v":"old"}`}})
			if now := p.readers(); now != before || strings.Contains(now, "lost") {
				t.Fatalf("it is visible after the checkpoint:\n%s\n%s", before, now)
			}
			f, err := p.Changes(2)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var refusal *store.Refusal
			if err := f.Await(t.Context()); !errors.As(err, &refusal) || refusal.Reason != store.ReasonPoisoned {
				t.Fatalf("whoever waits for it is told %v", err)
			}
		})
	}
}
