// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"net/http/httptest"
	"testing"
)

// Proxy is a gateway in the process of a test.
type Proxy struct {
	*Gateway
	*Server // what a client is given: the same keys, the endpoint of the proxy
}

// StartProxy starts a gateway before s and ends it with the test.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	g, err := NewGateway(s)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	return &Proxy{g, &Server{Endpoint: front.URL, Region: s.Region, AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}}
}
