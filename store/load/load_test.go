// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/load"
)

// server is as much of a store as a load sees, and as unreliable as told.
type server struct {
	mu     sync.Mutex
	calls  int
	done   map[string]uint64 // id -> position
	rows   []store.Statement
	before func(call int) bool // false: the request is answered with 503 and not done
	after  func(call int) bool // false: it is done and the connection cut
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/tables" {
		_, _ = w.Write([]byte(`{"writer":"w","prefix":"w.","tables":[]}`))
		return
	}
	var t store.Transaction
	if err := json.NewDecoder(r.Body).Decode(&t); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if !s.before(s.calls) {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	p, repeated := s.done[t.ID]
	if !repeated {
		p = uint64(len(s.done) + 1)
		s.done[t.ID] = p
		s.rows = append(s.rows, t.Statements...)
	}
	if !s.after(s.calls) {
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": t.ID, "position": p, "repeated": repeated})
}

func yes(int) bool { return true }

func start(t *testing.T, s *server) string {
	t.Helper()
	s.done = map[string]uint64{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return srv.URL
}

func noWait(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// What is refused or cut off is sent again under the same id, until it is answered;
// every answer is in the file.
func TestEachIsSentUntilItIsAnswered(t *testing.T) {
	s := &server{before: func(n int) bool { return n%5 != 0 }, after: func(n int) bool { return n%7 != 0 }}
	file := filepath.Join(t.TempDir(), "acks")
	j, err := load.OpenJournal(file)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := load.Run(t.Context(), load.Options{
		Targets: []string{start(t, s)}, Transactions: 100, Tables: 2, Concurrency: 4, Keys: 3, Acks: j,
		NewID: func() string { return "RUN" }, Sleep: noWait,
	})
	if err != nil || sum.Acknowledged != 100 || sum.Unanswered != 0 || sum.Retried == 0 || sum.Repeated == 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if len(s.done) != 100 || len(s.rows) != 200 {
		t.Fatalf("%d transactions with %d rows were done", len(s.done), len(s.rows))
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[string]bool{}
	for a, err := range load.ReadAcks(f) {
		if err != nil || s.done[a.Token] != a.Position || a.Of != 2 || a.Prefix != "w." {
			t.Fatalf("%+v, %v", a, err)
		}
		seen[a.Token] = true
	}
	if len(seen) != 100 {
		t.Fatalf("%d of 100 are in the file", len(seen))
	}
}

// A refusal that no retry helps against ends the load.
func TestARefusalEndsTheLoad(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/tables" {
			_, _ = w.Write([]byte(`{}`))
			return
		}
		http.Error(w, "table name is bad", http.StatusBadRequest)
	}))
	defer srv.Close()
	_, err := load.Run(t.Context(), load.Options{Targets: []string{srv.URL}, NewID: func() string { return "RUN" }})
	if err == nil || !strings.Contains(err.Error(), "table name is bad") {
		t.Fatalf("%v", err)
	}
}

// fakeStore answers in memory: under synctest its time is virtual.
type fakeStore func(t store.Transaction) (status int, body string)

func (f fakeStore) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.URL.Path == "/v1/tables" {
		_, _ = w.WriteString(`{"writer":"w","prefix":"w.","tables":[]}`)
		return w.Result(), nil
	}
	var t store.Transaction
	if err := json.NewDecoder(r.Body).Decode(&t); err != nil {
		return nil, err
	}
	status, body := f(t)
	w.WriteHeader(status)
	_, _ = w.WriteString(body)
	return w.Result(), nil
}

// In an open loop writes come by the clock while the store is held; the latency of each
// counts from when it was due, and who finds no free worker has waited all the same. In a
// closed one nobody comes while nobody is answered.
func TestAnOpenLoopDoesNotWaitForAnswers(t *testing.T) {
	for _, c := range []struct {
		name               string
		every              time.Duration
		workers, waited    int
		longest, shortfall time.Duration
	}{
		{"open", 10 * time.Millisecond, 400, 100, time.Second, 10 * time.Millisecond},
		{"open, with few workers", 10 * time.Millisecond, 5, 100, time.Second, 10 * time.Millisecond},
		{"closed", 0, 5, 5, time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				held := func(store.Transaction) (int, string) { // for the first second
					time.Sleep(time.Until(began.Add(time.Second)))
					return http.StatusOK, `{"position":1}`
				}
				var waited []time.Duration
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				sum, err := load.Run(ctx, load.Options{
					Targets: []string{"http://a"}, Every: c.every, Gap: 10*time.Millisecond - c.every, Concurrency: c.workers,
					NewID: func() string { return "RUN" }, HTTP: &http.Client{Transport: fakeStore(held)},
					Trace: func(tr load.Trace) {
						if tr.Took > 0 {
							waited = append(waited, tr.Took)
						}
					},
				})
				if err != nil || len(waited) != c.waited || slices.Max(waited) != c.longest || sum.Unanswered != 0 {
					t.Fatalf("%d waited, %v, the longest %v; %+v, %v", len(waited), waited, slices.Max(waited), sum, err)
				}
				slices.Sort(waited)
				for i := 1; i < len(waited); i++ {
					if waited[i]-waited[i-1] != c.shortfall {
						t.Fatalf("those who came while it was held have waited %v", waited)
					}
				}
			})
		})
	}
}

// A burst at all targets at once is not what an open loop of that rate is: the targets
// take turns, one each Every divided by their number.
func TestTheTargetsOfAnOpenLoopTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var due []time.Duration
		_, err := load.Run(t.Context(), load.Options{
			Targets: []string{"http://a", "http://b", "http://c", "http://d"}, Every: time.Second, Concurrency: 8, Transactions: 12,
			NewID: func() string { return "RUN" },
			HTTP: &http.Client{Transport: fakeStore(func(store.Transaction) (int, string) {
				return http.StatusOK, `{"position":1}`
			})},
			Trace: func(tr load.Trace) { due = append(due, tr.Due.Sub(began)) },
		})
		slices.Sort(due)
		if err != nil || len(due) != 12 {
			t.Fatalf("%v, %v", due, err)
		}
		for i, d := range due {
			if d != time.Duration(i)*250*time.Millisecond {
				t.Fatalf("due %v", due)
			}
		}
	})
}

// What became of a transaction names each try that failed, with its status.
func TestATraceNamesWhatFailed(t *testing.T) {
	calls := 0
	var got []load.Trace
	_, err := load.Run(t.Context(), load.Options{
		Targets: []string{"http://a", "http://b"}, Concurrency: 2, Transactions: 1, NewID: func() string { return "RUN" }, Sleep: noWait,
		HTTP: &http.Client{Transport: fakeStore(func(store.Transaction) (int, string) {
			if calls++; calls == 1 {
				return http.StatusServiceUnavailable, "no writes until noon"
			}
			return http.StatusOK, `{"position":1}`
		})},
		Trace: func(tr load.Trace) { got = append(got, tr) },
	})
	if err != nil || len(got) != 1 || len(got[0].Failed) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	tr, f := got[0], got[0].Failed[0]
	if f.Status != http.StatusServiceUnavailable || !strings.Contains(f.Says, "no writes until noon") || f.Sent.Before(tr.Due) || f.Waited > tr.Took || tr.Token == "" {
		t.Fatalf("%+v", tr)
	}
}

// A store that never answers is given up in the end.
func TestGivesUp(t *testing.T) {
	s := &server{before: func(int) bool { return false }, after: yes}
	now := time.Unix(0, 0)
	var mu sync.Mutex
	_, err := load.Run(t.Context(), load.Options{
		Targets: []string{start(t, s)}, Concurrency: 1, NewID: func() string { return "RUN" }, Sleep: noWait,
		Now: func() time.Time { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Second); return now },
	})
	if err == nil || !strings.Contains(err.Error(), "gave up after 2m0s") {
		t.Fatalf("%v", err)
	}
}

// A load that is stopped ends without an error.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{after: yes}
	s.before = func(n int) bool {
		if n == 50 {
			cancel()
		}
		return true
	}
	sum, err := load.Run(ctx, load.Options{Targets: []string{start(t, s)}, NewID: func() string { return "RUN" }})
	if err != nil || sum.Acknowledged == 0 || sum.Acknowledged > 60 {
		t.Fatalf("%+v, %v", sum, err)
	}
}

// Many add at the same time; a line that was cut off by a crash is passed over.
func TestJournal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acks")
	j, err := load.OpenJournal(file)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			for i := range 20 {
				if err := j.Add(ack("k", uint64(20*n+i+1))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	count := func(raw string) (n int, last error) {
		for _, err := range load.ReadAcks(strings.NewReader(raw)) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	if n, err := count(string(raw)); n != 1000 || err != nil {
		t.Fatalf("%d lines, %v", n, err)
	}
	if n, err := count(string(raw) + `{"key":"cut o`); n != 1000 || err != nil {
		t.Fatalf("with a cut line: %d lines, %v", n, err)
	}
	if _, err := count("not json\n" + string(raw)); err == nil {
		t.Fatal("a line that is no acknowledgement was taken")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Add(ack("k", 1)); err == nil {
		t.Fatal("an acknowledgement was taken by a closed file")
	}
}
