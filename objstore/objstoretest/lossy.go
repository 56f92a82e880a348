// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// Lossy stands before any HTTP server and drops answers on the way back. Unlike a
// Gateway it knows no provider: requests pass as they are.
type Lossy struct {
	// Endpoint is what a client is given in place of the server's.
	Endpoint string

	mu       sync.Mutex
	requests []string
	drop     func(*http.Request) bool
}

// StartLossy starts one before the server at endpoint, a URL that may have a path,
// and ends it with the test.
func StartLossy(t testing.TB, endpoint string) *Lossy {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	l := &Lossy{}
	forward := &httputil.ReverseProxy{
		// The host stays the server's: it is part of what some sign and of how others route.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, target.Host
		},
		ModifyResponse: func(r *http.Response) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.drop != nil && l.drop(r.Request) {
				return http.ErrAbortHandler
			}
			return nil
		},
		// The server has applied the request; the client sees the connection end.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.requests = append(l.requests, r.Method+" "+r.URL.Path)
		l.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	l.Endpoint = front.URL + target.Path
	return l
}

// Requests returns what arrived so far, as "PUT /container/key".
func (l *Lossy) Requests() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.requests...)
}

// DropAnswers drops the answer of every request that matches, after the server
// has applied it; nil ends it.
func (l *Lossy) DropAnswers(match func(*http.Request) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop = match
}
