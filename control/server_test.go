// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/salvor-io/salvor/control"
)

// pod is a store process as far as control can see it.
type pod struct {
	control.Signal
	mu        sync.Mutex
	status    control.Status
	refreshed atomic.Int32
}

func (p *pod) Status() control.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *pod) Refresh() { p.refreshed.Add(1) }

func (p *pod) set(f func(*control.Status)) {
	p.mu.Lock()
	f(&p.status)
	p.mu.Unlock()
	p.Notify()
}

// start serves p and returns the server, its control handler and its address.
func start(t *testing.T, p *pod, opt control.ServerOptions) (*httptest.Server, *control.Server, string) {
	t.Helper()
	h := control.NewServer(p, opt)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	t.Cleanup(h.Close)
	return srv, h, strings.TrimPrefix(srv.URL, "http://")
}

func dial(t *testing.T, addr string, opt control.DialOptions) *control.Stream {
	t.Helper()
	if opt.Patience == 0 && opt.Heartbeat == 0 { // not what is measured here: a busy machine is silent for long
		opt.Patience = time.Minute
	}
	s, err := control.Dial(t.Context(), addr, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func next(t *testing.T, s *control.Stream) control.Status {
	t.Helper()
	st, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

var ledger = control.Status{
	Store: "01KSTORE", Writer: "ledger-0", Process: "01KPROC", Epoch: 3, State: control.Serving,
	Durable: 812, Next: 813, Published: 700, InFlight: 2, Manifest: 42, Open: []string{"01KA"}, Abandoned: []string{"01KB"},
}

func TestStatusIsToldWhole(t *testing.T) {
	p := &pod{status: ledger}
	_, _, addr := start(t, p, control.ServerOptions{})
	got, err := control.GetStatus(t.Context(), addr, control.DialOptions{})
	if err != nil || !reflect.DeepEqual(got, ledger) {
		t.Fatalf("GetStatus = %+v, %v; want %+v", got, err, ledger)
	}
	if got := next(t, dial(t, addr, control.DialOptions{})); !reflect.DeepEqual(got, ledger) {
		t.Fatalf("first line of the stream = %+v, want %+v", got, ledger)
	}
}

// The words are a protocol with other languages: they are pinned.
func TestStatusBytes(t *testing.T) {
	raw, err := json.Marshal(ledger)
	const want = `{"store":"01KSTORE","writer":"ledger-0","process":"01KPROC","epoch":3,"state":"Serving",` +
		`"durable":812,"next":813,"published":700,"inFlight":2,"manifest":42,"open":["01KA"],"abandoned":["01KB"]}`
	if err != nil || string(raw) != want {
		t.Fatalf("got  %s (%v)\nwant %s", raw, err, want)
	}
}

func TestRefreshIsANudge(t *testing.T) {
	p := &pod{}
	srv, _, addr := start(t, p, control.ServerOptions{})
	for range 3 {
		if err := control.Refresh(t.Context(), addr, control.DialOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.refreshed.Load(); n != 3 {
		t.Fatalf("refreshed %d times, want 3", n)
	}
	res, err := http.Get(srv.URL + control.RefreshPath)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed || p.refreshed.Load() != 3 {
		t.Fatalf("a GET of refresh: %s, refreshed %d times", res.Status, p.refreshed.Load())
	}
}

// A change comes at once: the heartbeat here is a minute away.
func TestChangeIsToldAtOnce(t *testing.T) {
	p := &pod{status: ledger}
	_, _, addr := start(t, p, control.ServerOptions{})
	s := dial(t, addr, control.DialOptions{Heartbeat: time.Minute})
	next(t, s)
	for epoch := uint64(4); epoch < 50; epoch++ {
		p.set(func(st *control.Status) { st.Epoch = epoch })
		if got := next(t, s).Epoch; got != epoch {
			t.Fatalf("epoch %d after it became %d", got, epoch)
		}
	}
}

// A change between the look and the wait is not lost: every burst ends with a
// line that holds its last value.
func TestNoChangeIsMissed(t *testing.T) {
	p := &pod{}
	_, _, addr := start(t, p, control.ServerOptions{})
	s := dial(t, addr, control.DialOptions{Heartbeat: time.Minute, Patience: 10 * time.Second})
	for last := uint64(100); last <= 2000; last += 100 {
		for n := last - 99; n <= last; n++ {
			p.set(func(st *control.Status) { st.Manifest = n })
		}
		for next(t, s).Manifest != last {
		}
	}
}

func TestHeartbeatIsTheReaders(t *testing.T) {
	p := &pod{status: ledger}
	_, _, addr := start(t, p, control.ServerOptions{Heartbeat: time.Hour})
	s := dial(t, addr, control.DialOptions{Heartbeat: 50 * time.Millisecond, Patience: time.Minute})
	for range 3 {
		next(t, s) // the second and third have no other cause than the heartbeat
	}
}

func TestHeartbeatMustBeADuration(t *testing.T) {
	srv, _, _ := start(t, &pod{}, control.ServerOptions{})
	for _, bad := range []string{"0s", "-1s", "soon"} {
		res, err := http.Get(srv.URL + control.StreamPath + "?heartbeat=" + bad)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("heartbeat %q: %s, want 400", bad, res.Status)
		}
	}
}

// A pod that shuts down says so in a last line.
func TestCloseSaysGoodbye(t *testing.T) {
	p := &pod{status: ledger}
	_, h, addr := start(t, p, control.ServerOptions{})
	s := dial(t, addr, control.DialOptions{Heartbeat: time.Minute})
	next(t, s)
	p.mu.Lock()
	p.status.State = control.Draining
	p.mu.Unlock()
	h.Close()
	if got := next(t, s).State; got != control.Draining {
		t.Fatalf("last line says %s, want Draining", got)
	}
	if _, err := s.Next(); control.ReasonOf(err) != control.EOF {
		t.Fatalf("after the goodbye: %v, want EOF", err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	_, _, addr := start(t, &pod{}, control.ServerOptions{MaxStreams: 2})
	first := dial(t, addr, control.DialOptions{})
	dial(t, addr, control.DialOptions{})
	_, err := control.Dial(t.Context(), addr, control.DialOptions{})
	if control.ReasonOf(err) != control.Protocol || !strings.Contains(err.Error(), "503: all 2 streams of this process are taken") {
		t.Fatalf("third stream: %v, want a refusal that says why", err)
	}
	_ = first.Close()
	eventually(t, func() bool { // the server notices the close by itself
		s, err := control.Dial(t.Context(), addr, control.DialOptions{})
		if err == nil {
			_ = s.Close()
		}
		return err == nil
	})
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("did not happen within 10 s")
		}
	}
}
