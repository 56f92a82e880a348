// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/s3"
)

// What only reads is tried as often as the options say; what writes is sent once
// whatever they say.
func TestOnlyReadsAreTriedAgain(t *testing.T) {
	for _, attempts := range []int{1, 2, 5} {
		s := serve(t, refuse(http.StatusInternalServerError, "InternalError"))
		o := s.options()
		o.ReadAttempts, o.MaxBackoff = attempts, time.Millisecond
		b := open(t, o)
		calls := func(f func()) int {
			before := len(s.seen())
			f()
			return len(s.seen()) - before
		}
		for name, c := range map[string]struct {
			f    func()
			want int
		}{
			"get":       {func() { _, _ = b.Get(t.Context(), "k") }, attempts},
			"get range": {func() { _, _ = b.GetRange(t.Context(), "k", 0, 1) }, attempts},
			"list": {func() {
				for range b.List(t.Context(), "", "") {
					break
				}
			}, attempts},
			"put":    {func() { _, _ = b.PutIfAbsent(t.Context(), "k", []byte("x"), "a") }, 1},
			"delete": {func() { _ = b.Delete(t.Context(), "k") }, 1},
		} {
			if n := calls(c.f); n != c.want {
				t.Errorf("%d attempts, %s: %d requests, want %d", attempts, name, n, c.want)
			}
		}
	}
}

// hanging is a server that takes requests and answers none until it is released.
type hanging struct {
	*script
	release chan struct{}
	mu      sync.Mutex
	conns   map[net.Conn]bool
	most    int
}

func hang(t *testing.T) *hanging {
	h := &hanging{release: make(chan struct{}), conns: map[net.Conn]bool{}}
	h.script = &script{respond: func(_ int, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-h.release:
		case <-r.Context().Done():
		}
	}}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(h.handle))
	h.Config.ConnState = func(c net.Conn, is http.ConnState) {
		h.mu.Lock()
		defer h.mu.Unlock()
		switch is {
		case http.StateNew:
			h.conns[c] = true
			h.most = max(h.most, len(h.conns))
		case http.StateClosed:
			delete(h.conns, c)
		}
	}
	h.Start()
	t.Cleanup(h.Close)
	return h
}

// Many callers of a server that is slow share as many connections as they may have.
func TestConnectionsAreBounded(t *testing.T) {
	h := hang(t)
	o := h.options()
	o.MaxConns, o.AnswerTimeout = 3, time.Minute
	b := open(t, o)
	var callers sync.WaitGroup
	for range 12 {
		callers.Go(func() { _, _ = b.Get(t.Context(), "k") })
	}
	for len(h.seen()) < 3 {
		select {
		case <-t.Context().Done():
			t.Fatal("the server was not reached")
		case <-time.After(time.Millisecond):
		}
	}
	close(h.release)
	callers.Wait()
	if n := len(h.seen()); n != 12 || h.most != 3 {
		t.Errorf("%d requests over %d connections at once; want 12 over 3", n, h.most)
	}
}

// A server that never answers is given up: a read after its attempts, a put after
// one, whose outcome nobody knows.
func TestAServerThatHangsIsGivenUp(t *testing.T) {
	h := hang(t)
	o := h.options()
	o.AnswerTimeout, o.ReadAttempts, o.MaxBackoff = 50*time.Millisecond, 2, time.Millisecond
	b := open(t, o)
	if r, err := b.PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Unknown || err == nil {
		t.Errorf("%v, %v; want Unknown", r.Outcome, err)
	}
	if n := len(h.seen()); n != 1 {
		t.Errorf("the put was sent %d times", n)
	}
	if _, err := b.Get(t.Context(), "k"); err == nil {
		t.Error("an answer that never came was read")
	}
	if n := len(h.seen()); n != 3 {
		t.Errorf("the read was sent %d times, want 2", n-1)
	}
}

// A port that takes connections and speaks no TLS: nothing was sent.
func TestAHandshakeThatHangsIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := open(t, s3.Options{Bucket: "bucket", Endpoint: "https://" + l.Addr().String(), AccessKeyID: "id", SecretAccessKey: "secret", DialTimeout: 50 * time.Millisecond})
	if r, err := b.PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Retry || err == nil {
		t.Errorf("%v, %v; want Retry", r.Outcome, err)
	}
}

func TestAnEndpointOnIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no ::1: %v", err)
	}
	s := &script{respond: func(int, http.ResponseWriter, *http.Request) {}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.handle))
	s.Listener = l
	s.Start()
	defer s.Close()
	o := s.options()
	if !strings.HasPrefix(o.Endpoint, "http://[::1]:") {
		t.Fatalf("the endpoint is %s", o.Endpoint)
	}
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	if host := s.seen()[0].Host; host != l.Addr().String() {
		t.Errorf("it asked for host %s", host)
	}
}

// Over TLS, too: the proxy carries bytes that it cannot read.
func TestAnHTTPSProxyOfTheEnvironmentIsUsed(t *testing.T) {
	if ca := os.Getenv("SALVOR_TEST_HTTPS_CHILD"); ca != "" {
		o := s3.Options{Bucket: "bucket", Endpoint: "https://example.com", PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret", CA: []byte(ca)}
		if r, err := open(t, o).PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
		return
	}
	s := serve(t, func(int, http.ResponseWriter, *http.Request) {})
	o := s.overTLS(t)
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host)
		tunnel(r.Context(), w, strings.TrimPrefix(o.Endpoint, "https://"))
	}))
	defer proxy.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "SALVOR_TEST_HTTPS_CHILD="+string(o.CA), "HTTPS_PROXY="+proxy.URL, "https_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(asked) != 1 || asked[0] != "CONNECT example.com:443" || len(s.seen()) != 1 {
		t.Errorf("the proxy was asked %v, the store %d times", asked, len(s.seen()))
	}
}

// tunnel answers CONNECT and carries bytes both ways.
func tunnel(ctx context.Context, w http.ResponseWriter, to string) {
	up, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer up.Close()
	w.WriteHeader(http.StatusOK)
	down, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer down.Close()
	go func() { _, _ = io.Copy(up, buffered) }()
	_, _ = io.Copy(down, up)
}
