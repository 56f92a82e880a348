// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/salvor-io/salvor/objstore"
)

// Gateway stands before an S3 server and does to requests and answers what it was
// told. Requests are signed again on the way, as gateways that hold the credentials
// do: a header that is stripped is missing, not a broken signature.
type Gateway struct {
	server  *Server
	forward *httputil.ReverseProxy

	mu       sync.Mutex
	requests []request      // in order of arrival
	inside   map[string]int // writes under way, by the client's host
	strip    bool
	drop     func(*http.Request) bool
	inject   func(*http.Request) Fault
	delay    func(*http.Request) time.Duration
}

type request struct{ host, line string }

// NewGateway returns a gateway to s; it is an HTTP handler.
func NewGateway(s *Server) (*Gateway, error) {
	target, err := url.Parse(s.Endpoint)
	if err != nil {
		return nil, err
	}
	g := &Gateway{server: s, inside: map[string]int{}}
	g.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			g.change(r.Out)
		},
		Transport: signing{s, http.DefaultTransport},
		ModifyResponse: func(r *http.Response) error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.drop != nil && g.drop(r.Request) {
				return errors.New("drop the answer")
			}
			return nil
		},
		// The server may have applied the request; the client sees the connection end.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	return g, nil
}

// ServeHTTP passes one request on. One that was delayed and whose client is gone by
// then is not passed on.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	// A client that stops within a body has not asked for anything yet.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8*objstore.MaxObject))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	defer g.arrive(host, r)()
	if d := g.delayOf(r); d > 0 && objstore.Sleep(r.Context(), d) != nil {
		panic(http.ErrAbortHandler)
	}
	if g.suffer(w, r, body) {
		return
	}
	g.forward.ServeHTTP(w, r)
}

// arrive counts a request until the returned function is called.
func (g *Gateway) arrive(host string, r *http.Request) (left func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	line := r.Method + " " + r.URL.Path
	if prefix, is := r.URL.Query()["prefix"]; is {
		line = "LIST " + r.URL.Path + "/" + prefix[0]
	}
	g.requests = append(g.requests, request{host, line})
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return func() {} // whoever does not take its answer changes nothing
	}
	g.inside[host]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.inside[host]--; g.inside[host] == 0 {
			delete(g.inside, host)
		}
	}
}

// Inside returns how many writes of a client's host have arrived whole and are under way.
func (g *Gateway) Inside(host string) int { g.mu.Lock(); defer g.mu.Unlock(); return g.inside[host] }

// Requests returns what arrived so far, as "PUT /bucket/key" or "LIST /bucket/prefix".
func (g *Gateway) Requests() []string { return g.RequestsOf("") }

// RequestsOf returns what arrived from one client's host; "" is all.
func (g *Gateway) RequestsOf(host string) (out []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.requests {
		if host == "" || r.host == host {
			out = append(out, r.line)
		}
	}
	return out
}

// StripIfNoneMatch takes the condition out of every request from now on.
func (g *Gateway) StripIfNoneMatch() { g.mu.Lock(); defer g.mu.Unlock(); g.strip = true }

// DropAnswers drops the answer of every request that matches, after the server
// has applied it; nil ends it.
func (g *Gateway) DropAnswers(match func(*http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop = match
}

// Delay holds every request back, on its way in, for as long as f says.
func (g *Gateway) Delay(f func(*http.Request) time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = f
}

func (g *Gateway) delayOf(r *http.Request) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.delay == nil {
		return 0
	}
	return g.delay(r)
}

// change does to a request what the gateway was told.
func (g *Gateway) change(r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.strip {
		r.Header.Del("If-None-Match")
	}
}

// signing replaces the client's signature by one that fits the request as it is
// when it leaves.
type signing struct {
	server *Server
	next   http.RoundTripper
}

func (t signing) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := sign(r.Context(), t.server, r); err != nil {
		return nil, fmt.Errorf("gateway: sign: %w", err)
	}
	return t.next.RoundTrip(r)
}

func sign(ctx context.Context, s *Server, r *http.Request) error {
	for _, name := range []string{"Authorization", "Accept-Encoding"} {
		r.Header.Del(name)
	}
	keys := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	return signer.SignHTTP(ctx, keys, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", s.Region, time.Now())
}
