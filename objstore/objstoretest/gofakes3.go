// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"net/http/httptest"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// StartGofakes3 starts an S3 server in this process, in memory. It is for speed:
// what it says about S3 is checked against a real server.
func StartGofakes3(t testing.TB) *Server {
	t.Helper()
	fake := gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog()))
	server := httptest.NewServer(fake.Server())
	t.Cleanup(server.Close)
	return &Server{Endpoint: server.URL, Region: "us-east-1", AccessKeyID: "any", SecretAccessKey: "any"}
}
