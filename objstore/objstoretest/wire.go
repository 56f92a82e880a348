// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
)

// Driver is a driver that speaks HTTP, for Wire.
type Driver struct {
	// Open opens a bucket at the base URL of a server, with credentials that any
	// server takes.
	Open func(endpoint string, l httpx.Limits, ca []byte) (objstore.Bucket, error)
	// Created answers a put that succeeded.
	Created http.HandlerFunc
	// Whole answers a get of an object "body" that was made 1000 s after the epoch.
	Whole http.HandlerFunc
}

// Wire holds a driver to what every driver over HTTP promises, whoever the
// provider: what writes is sent once, what was not sent is Retry, what was sent
// and not answered is Unknown; and to the ways to a server that people have.
func Wire(t *testing.T, d Driver) {
	t.Helper()
	for _, promise := range []struct {
		name string
		test func(*testing.T, Driver)
	}{
		{"writes-are-sent-once", writesOnce},
		{"reads-are-tried-again", readsAgain},
		{"an-answer-that-breaks-off", breaksOff},
		{"an-object-of-a-stranger", strangers},
		{"no-server", noServer},
		{"timeouts", timeouts},
		{"a-ca-of-ones-own", ownCA},
		{"ipv6", ipv6},
		{"proxy", proxy},
	} {
		t.Run(promise.name, func(t *testing.T) { promise.test(t, d) })
	}
}

func (d Driver) open(t *testing.T, endpoint string, l httpx.Limits, ca []byte) objstore.Bucket {
	t.Helper()
	b, err := d.Open(endpoint, l, ca)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func writesOnce(t *testing.T, d Driver) {
	for _, status := range []int{301, 302, 303, 307, 308, 400, 401, 403, 404, 408, 409, 412, 413, 429, 500, 501, 502, 503, 504} {
		s := StartScript(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(status)
		})
		// The limit is for drivers that go on and on.
		b := d.open(t, s.URL, httpx.Limits{CallTimeout: 10 * time.Second}, nil)
		r, putErr := b.PutIfAbsent(t.Context(), "k", []byte("x"), "a")
		delErr := b.Delete(t.Context(), "k")
		if got := s.Asked(); len(got) != 2 || putErr == nil || delErr == nil {
			t.Fatalf("%d: %d requests for a put and a delete; %v; %v", status, len(got), putErr, delErr)
		}
		// An answer without the provider's words proves little.
		if r.Outcome == objstore.Exists || r.Outcome == objstore.Created || status >= 500 && r.Outcome != objstore.Unknown {
			t.Errorf("%d without a code: %v", status, r.Outcome)
		}
	}
}

func readsAgain(t *testing.T, d Driver) {
	s := StartScript(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		d.Whole(w, r)
	})
	o, err := d.open(t, s.URL, httpx.Limits{}, nil).Get(t.Context(), "k")
	if err != nil || string(o.Body) != "body" || !o.Modified.Equal(time.Unix(1000, 0)) || o.Date.IsZero() || len(s.Asked()) != 2 {
		t.Errorf("%+v, %v, %d requests", o, err, len(s.Asked()))
	}
	// And no longer than was said.
	s = StartScript(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	for attempts := 1; attempts <= 2; attempts++ {
		before := len(s.Asked())
		_, err = d.open(t, s.URL, httpx.Limits{ReadAttempts: attempts}, nil).Get(t.Context(), "k")
		if got := len(s.Asked()) - before; err == nil || got != attempts {
			t.Errorf("%d attempts: %d requests, %v", attempts, got, err)
		}
	}
}

func breaksOff(t *testing.T, d Driver) {
	s := StartScript(t, func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	r, err := d.open(t, s.URL, httpx.Limits{}, nil).PutIfAbsent(t.Context(), "k", []byte("x"), "a")
	if r.Outcome != objstore.Unknown || err == nil || !r.Date.IsZero() || len(s.Asked()) != 1 {
		t.Errorf("%+v, %v, %d requests; want Unknown, one request", r, err, len(s.Asked()))
	}
	half := StartScript(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Header().Set("Last-Modified", time.Unix(1000, 0).UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, "half")
	})
	if o, err := d.open(t, half.URL, httpx.Limits{ReadAttempts: 1}, nil).Get(t.Context(), "k"); err == nil {
		t.Errorf("half a body was taken for whole: %q", o.Body)
	}
}

// strangers: what somebody else put there may be of any size; it is not read whole.
func strangers(t *testing.T, d Driver) {
	served := 0
	s := StartScript(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(1<<30))
		w.Header().Set("Last-Modified", time.Unix(1000, 0).UTC().Format(http.TimeFormat))
		piece := make([]byte, 1<<20)
		for served = 0; served < 64; served++ {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	if _, err := d.open(t, s.URL, httpx.Limits{ReadAttempts: 1}, nil).Get(t.Context(), "k"); !errors.Is(err, objstore.ErrTooLarge) {
		t.Errorf("%v; want ErrTooLarge", err)
	}
	s.Close() // waits for the handler
	if served == 64 {
		t.Error("all of it was taken")
	}
}

func noServer(t *testing.T, d Driver) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"http", "https"} {
		endpoint := scheme + "://" + l.Addr().String()
		b := d.open(t, endpoint, httpx.Limits{ReadAttempts: 1}, nil)
		r, err := b.PutIfAbsent(t.Context(), "k", []byte("x"), "a")
		if r.Outcome != objstore.Retry || err == nil || !strings.Contains(err.Error(), endpoint) {
			t.Errorf("%s: %v, %v; want Retry and the endpoint", endpoint, r.Outcome, err)
		}
		for _, err := range b.List(t.Context(), "", "") {
			if err == nil {
				t.Error("a listing of nowhere")
			}
		}
	}
}

// The server takes the request and does not answer.
func timeouts(t *testing.T, d Driver) {
	release := make(chan struct{})
	defer close(release)
	silent := StartScript(t, func(int, http.ResponseWriter, *http.Request) { <-release })
	for name, l := range map[string]httpx.Limits{"answer": {AnswerTimeout: 50 * time.Millisecond}, "call": {CallTimeout: 50 * time.Millisecond}} {
		r, err := d.open(t, silent.URL, l, nil).PutIfAbsent(t.Context(), "k", []byte("x"), "a")
		if r.Outcome != objstore.Unknown || err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, %v; want Unknown, and no word of a context", name, r.Outcome, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	arrived := StartScript(t, func(int, http.ResponseWriter, *http.Request) { cancel(); <-release })
	r, err := d.open(t, arrived.URL, httpx.Limits{}, nil).PutIfAbsent(ctx, "k", []byte("x"), "a")
	if r.Outcome != objstore.Unknown || !errors.Is(err, context.Canceled) {
		t.Errorf("ended after it was sent: %v, %v; want Unknown, canceled", r.Outcome, err)
	}
}

func ownCA(t *testing.T, d Driver) {
	tls := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("spoken: %s; want HTTP/1.1, which sends nothing twice by itself", r.Proto)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		d.Created(w, r)
	}))
	tls.EnableHTTP2 = true
	tls.StartTLS()
	defer tls.Close()
	r, err := d.open(t, tls.URL, httpx.Limits{}, nil).PutIfAbsent(t.Context(), "k", nil, "a")
	if r.Outcome != objstore.Retry || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v, %v; want Retry", r.Outcome, err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	if r, err := d.open(t, tls.URL, httpx.Limits{}, ca).PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Created {
		t.Errorf("%v, %v", r.Outcome, err)
	}
	if _, err := d.Open(tls.URL, httpx.Limits{}, []byte("no certificate")); err == nil {
		t.Error("a CA that is none was taken")
	}
}

func ipv6(t *testing.T, d Driver) {
	s := StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { d.Created(w, r) })
	endpoint := s.OnIPv6(t)
	if r, err := d.open(t, endpoint, httpx.Limits{}, nil).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Errorf("%s: %v, %v", endpoint, r.Outcome, err)
	}
}

// The environment is read once per process, so the put is made by another one.
func proxy(t *testing.T, d Driver) {
	const child = "SALVOR_TEST_PROXY_CHILD"
	if os.Getenv(child) != "" {
		if r, err := d.open(t, "http://store.invalid", httpx.Limits{}, nil).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
		return
	}
	s := StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { d.Created(w, r) })
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
	cmd.Env = append(os.Environ(), child+"=1", "HTTP_PROXY="+s.URL, "http_proxy="+s.URL, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := s.Asked(); len(got) != 1 || got[0].URL.Host != "store.invalid" {
		t.Fatalf("the proxy saw %d requests", len(got))
	}
}
