// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// Script is an HTTP server that answers from a function and keeps what it was
// asked.
type Script struct {
	*httptest.Server

	respond func(n int, w http.ResponseWriter, r *http.Request)
	mu      sync.Mutex
	asked   []Asked
}

// Asked is one request that arrived whole.
type Asked struct {
	*http.Request
	Body []byte
}

// StartScript starts one, and ends it with the test. respond is called with the
// number of the request, from 1.
func StartScript(t testing.TB, respond func(n int, w http.ResponseWriter, r *http.Request)) *Script {
	t.Helper()
	s := &Script{respond: respond}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// OnIPv6 serves the same on the loopback address of IPv6 and returns the URL.
func (s *Script) OnIPv6(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	six := httptest.NewUnstartedServer(s)
	_ = six.Listener.Close()
	six.Listener = l
	six.Start()
	t.Cleanup(six.Close)
	return six.URL
}

// ServeHTTP implements http.Handler.
func (s *Script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.asked = append(s.asked, Asked{r, body})
	n := len(s.asked)
	s.mu.Unlock()
	s.respond(n, w, r)
}

// Asked returns what arrived so far.
func (s *Script) Asked() []Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}
