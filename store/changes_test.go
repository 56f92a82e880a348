// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/test/contract"
)

// feed is what GET /v1/changes has answered.
type feed struct {
	code    int
	changes []store.Change
	end     store.FeedEnd
	problem store.ProblemDetail
}

func (p *process) changes(query string) feed {
	p.w.Helper()
	res := p.call("GET", "/v1/changes?"+query, "")
	f := feed{code: res.Code}
	if res.Code != http.StatusOK {
		var problem store.Problem
		if err := json.Unmarshal(res.Body.Bytes(), &problem); err != nil {
			p.w.Fatalf("%s: %s", query, res.Body)
		}
		f.problem = problem.Error
		return f
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), `{"next"`) {
			if err := json.Unmarshal(lines.Bytes(), &f.end); err != nil {
				p.w.Fatal(err)
			}
			continue
		}
		var c store.Change
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			p.w.Fatal(err)
		}
		f.changes = append(f.changes, c)
	}
	return f
}

// A feed from any position is the log from there: every transaction that is durable, in
// order, whole; over segments, restarts and the end of what is there now.
func TestAFeedIsTheLog(t *testing.T) {
	contract.Row(t, 62)
	w := newWorld(t)
	p := w.start()
	var want []store.Change
	for i := range 60 {
		tx := store.Transaction{Statements: []store.Statement{put("t", fmt.Sprint("k", i%7), strings.Repeat("x", 300)), get("t", "k1"), del("u", "k"), put("u", fmt.Sprint(i), "1")}}
		if i%2 == 0 {
			tx.ID = fmt.Sprint("tx-", i)
		}
		r, err := p.Transact(t.Context(), tx)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, store.Change{Position: r.Position, ID: tx.ID, Writes: []store.Statement{tx.Statements[0], tx.Statements[2], tx.Statements[3]}})
		if i == 40 {
			p.kill()
			p = w.start()
		}
	}
	if n := len(w.segments()); n < 3 {
		t.Fatalf("the log has %d segments: that shows little", n)
	}
	for _, from := range []int{1, 2, 17, 41, 42, 59, 60} {
		got := p.changes(fmt.Sprint("from=", from))
		if !reflect.DeepEqual(got.changes, want[from-1:]) || got.end.Next != 61 || got.end.Error != nil {
			t.Fatalf("from %d: %d changes, first %+v, end %+v", from, len(got.changes), got.changes[:min(1, len(got.changes))], got.end)
		}
	}
	if got := p.changes("from=61"); len(got.changes) != 0 || got.end.Next != 61 {
		t.Fatalf("from the end: %+v", got)
	}
}

func (w *world) segments() (out []string) {
	for _, path := range w.disk.Files() {
		if strings.HasSuffix(path, ".log") {
			out = append(out, path)
		}
	}
	return out
}

// Whoever asks for what was truncated is told from where on there is something, also in
// the middle of a feed that is overtaken; from there on it goes on.
func TestATruncatedFeedIsTold(t *testing.T) {
	contract.Row(t, 62)
	w := newWorld(t)
	p := w.start()
	write := func(n int) {
		for range n {
			p.must(put("t", "k", strings.Repeat("x", 300)))
		}
	}
	write(100)
	slow, err := p.Changes(1)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	seen := 0
	if err := slow.Read(1, func(store.Change) error { seen++; return nil }); err != nil || seen != 1 {
		t.Fatalf("the first one: %d, %v", seen, err)
	}
	p.checkpoint() // and truncates
	earliest := log.Position(p.Status().Oldest)
	if earliest <= 2 {
		t.Fatalf("the log begins with %d: nothing was truncated", earliest)
	}
	write(200) // what was truncated is used again
	p.checkpoint()
	earliest = log.Position(p.Status().Oldest)
	got := p.changes(fmt.Sprint("from=", earliest-1))
	if got.code != http.StatusGone || got.problem.Reason != store.ReasonTruncated || got.problem.Earliest != earliest || !strings.Contains(got.problem.Message, "snapshot") {
		t.Fatalf("from before: %+v, the log begins with %d", got, earliest)
	}
	err = nil
	for err == nil && seen < 300 {
		err = slow.Read(1<<20, func(c store.Change) error {
			if seen++; c.Position != log.Position(seen) {
				t.Fatalf("position %d is the %d. change", c.Position, seen)
			}
			return nil
		})
	}
	var refusal *store.Refusal
	if !errors.As(err, &refusal) || refusal.Reason != store.ReasonTruncated || refusal.Earliest != earliest {
		t.Fatalf("overtaken after %d: %v; the log begins with %d", seen, err, earliest)
	}
	if got := p.changes(fmt.Sprint("from=", refusal.Earliest)); got.changes[0].Position != earliest || got.end.Next != 301 {
		t.Fatalf("from the earliest: %+v", got.end)
	}
}

// A reader who takes nothing holds up nobody: not who writes, not who truncates.
func TestASlowReaderHoldsUpNobody(t *testing.T) {
	contract.Row(t, 62)
	w := newWorld(t)
	p := w.start()
	p.must(put("t", "k", strings.Repeat("x", 300)))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", "/v1/changes?from=1&wait=1m", nil)
	if err != nil {
		t.Fatal(err)
	}
	stuck := &stuckWriter{taking: make(chan struct{}), ctx: ctx}
	ended := make(chan struct{})
	go func() { defer close(ended); p.Handler().ServeHTTP(stuck, req) }()
	<-stuck.taking
	for range 300 {
		p.must(put("t", "k", strings.Repeat("x", 300)))
	}
	p.checkpoint()
	if first := p.Status().Oldest; first == 1 {
		t.Fatal("the reader keeps the log from being truncated")
	}
	if n := p.Metrics().Feeds; n != 1 {
		t.Fatalf("%d feeds are open", n)
	}
	cancel()
	<-ended
	if n := p.Metrics().Feeds; n != 0 {
		t.Fatalf("%d feeds are open after their end", n)
	}
}

// stuckWriter is a client that takes not a byte.
type stuckWriter struct {
	once   sync.Once
	taking chan struct{}
	ctx    context.Context
}

func (*stuckWriter) Header() http.Header { return http.Header{} }
func (*stuckWriter) WriteHeader(int)     {}
func (s *stuckWriter) Write([]byte) (int, error) {
	s.once.Do(func() { close(s.taking) })
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// A feed that follows writers is their transactions, once each, in the order of their
// positions; applied one after the other they are the tables.
func TestAFeedFollowsManyWriters(t *testing.T) {
	contract.Row(t, 62)
	p := newWorld(t).start()
	const writers, each = 8, 40
	f, err := p.Changes(1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range each {
				p.must(put("t", fmt.Sprint("k", i%5), fmt.Sprint(n, "-", i)), put("u", fmt.Sprint(n), fmt.Sprint(i)))
			}
		})
	}
	is, next := content{}, log.Position(1)
	for next <= writers*each {
		if err := f.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.Read(1<<10, func(c store.Change) error {
			if c.Position != next || f.Next() != next {
				t.Errorf("position %d, want %d; the feed stands at %d", c.Position, next, f.Next())
			}
			next++
			is.apply(c.Writes...)
			// What the feed tells is there for whoever reads.
			if r := p.must(get("t", "k0")); r.Position < c.Position {
				t.Errorf("the feed is at %d, and a reader at %d", c.Position, r.Position)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	p.w.same("the tables", p.rows(), is)
}

func TestWhatIsNoFeed(t *testing.T) {
	p := newWorld(t).start(func(o *store.Options) { o.MaxFeeds = 1 })
	p.must(put("t", "k", "1"))
	for query, want := range map[string]store.Reason{
		"": store.ReasonInvalid, "from=0": store.ReasonInvalid, "from=x": store.ReasonInvalid, "from=1&wait=soon": store.ReasonInvalid, "from=1&wait=1h": store.ReasonInvalid,
		"from=3": store.ReasonPositionAhead,
	} {
		if got := p.changes(query); got.problem.Reason != want {
			t.Errorf("%q: %+v, want %s", query, got, want)
		}
	}
	f, err := p.Changes(1)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.changes("from=1"); got.code != http.StatusServiceUnavailable || got.problem.Reason != store.ReasonOverloaded {
		t.Errorf("one too many: %+v", got)
	}
	f.Close()
	if got := p.changes("from=1"); len(got.changes) != 1 {
		t.Errorf("after the other one: %+v", got)
	}
}

// A feed waits for what comes, longer than a request may take to be read, and ends with
// the place to go on from when nothing has come for as long as it was told to wait.
func TestAFeedWaitsForWhatComes(t *testing.T) {
	contract.Row(t, 62)
	p := newWorld(t).start()
	p.must(put("t", "k", "1"))
	srv := httptest.NewUnstartedServer(p.Handler())
	srv.Config.ReadTimeout = 50 * time.Millisecond
	srv.Start()
	defer srv.Close()
	res, err := srv.Client().Get(srv.URL + "/v1/changes?from=1&wait=300ms")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for i := 1; i <= 3; i++ {
		var c store.Change
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &c) != nil || c.Position != log.Position(i) {
			t.Fatalf("line %d: %q, %v", i, lines.Text(), lines.Err())
		}
		if i < 3 {
			<-time.After(100 * time.Millisecond) // longer than ReadTimeout
			p.must(put("t", "k", fmt.Sprint(i+1)))
		}
	}
	var end store.FeedEnd
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &end) != nil || end.Next != 4 || end.Error != nil || lines.Scan() {
		t.Fatalf("the end: %q, %v", lines.Text(), lines.Err())
	}
}
