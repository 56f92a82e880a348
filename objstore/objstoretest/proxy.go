// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Proxy stands before an S3 server and does to requests and answers what the
// functions say. Requests are signed again on the way, as gateways that hold the
// credentials do: a header that is stripped is missing, not a broken signature.
type Proxy struct {
	*Server // what a client is given: the same keys, the endpoint of the proxy

	mu       sync.Mutex
	requests []string // "PUT /bucket/key", in order of arrival
	strip    bool
	drop     func(*http.Request) bool
}

// StartProxy starts a proxy before s and ends it with the test.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	target, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			p.change(r.Out)
			if err := sign(s, r.Out); err != nil {
				t.Errorf("proxy: sign: %v", err)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.drop != nil && p.drop(r.Request) {
				return errors.New("drop the answer")
			}
			return nil
		},
		// The server has applied the request; the client sees the connection end.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.arrive(r)
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	p.Server = &Server{Endpoint: front.URL, Region: s.Region, AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	return p
}

// change does to a request what the test asked for.
func (p *Proxy) change(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.strip {
		r.Header.Del("If-None-Match")
	}
}

// sign replaces the client's signature by one that fits the request as it is now.
func sign(s *Server, r *http.Request) error {
	for _, name := range []string{"Authorization", "Accept-Encoding"} {
		r.Header.Del(name)
	}
	keys := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	return signer.SignHTTP(r.Context(), keys, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", s.Region, time.Now())
}

func (p *Proxy) arrive(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r.Method+" "+r.URL.Path)
}

// StripIfNoneMatch takes the condition out of every request from now on.
func (p *Proxy) StripIfNoneMatch() { p.mu.Lock(); defer p.mu.Unlock(); p.strip = true }

// DropAnswers drops the answer of every request that matches, after the server
// has applied it; nil ends it.
func (p *Proxy) DropAnswers(match func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop = match
}

// Requests returns what arrived so far, as "PUT /bucket/key".
func (p *Proxy) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}
