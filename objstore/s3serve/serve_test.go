// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3serve_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/objstore/s3serve"
)

// client is the S3 driver before a served bucket.
func client(t *testing.T, do s3serve.Func) objstore.Bucket {
	t.Helper()
	server := httptest.NewServer(s3serve.Handler("root", do))
	t.Cleanup(server.Close)
	b, err := s3.Open(t.Context(), s3.Options{Bucket: "root", Endpoint: server.URL, PathStyle: true, AccessKeyID: "any", SecretAccessKey: "any"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// What is served keeps every promise that is made of S3.
func TestAcceptance(t *testing.T) {
	objstoretest.Acceptance(t, func() objstore.Bucket { return client(t, s3serve.Bucket(mem.New(mem.Options{}))) })
}

// A Func decides what becomes of a request, and the client hears just that.
func TestFuncDecides(t *testing.T) {
	behind := s3serve.Bucket(mem.New(mem.Options{}))
	var next func(*s3serve.Request) *s3serve.Response
	b := client(t, func(ctx context.Context, r *s3serve.Request) *s3serve.Response {
		res := behind(ctx, r)
		if next != nil && r.Verb == s3serve.Put {
			return next(r)
		}
		return res
	})
	for _, c := range []struct {
		key  string
		res  *s3serve.Response
		want objstore.Outcome
	}{
		{"lost", s3serve.Lost, objstore.Unknown},
		{"slow", s3serve.SlowDown("not now"), objstore.Retry},
		{"taken", &s3serve.Response{Status: 412, Code: "PreconditionFailed"}, objstore.Exists},
	} {
		next = func(*s3serve.Request) *s3serve.Response { return c.res }
		if r, _ := b.PutIfAbsent(t.Context(), c.key, []byte("x"), "A"); r.Outcome != c.want {
			t.Errorf("%s: %s, want %s", c.key, r.Outcome, c.want)
		}
		if o, err := b.Get(t.Context(), c.key); err != nil || string(o.Body) != "x" {
			t.Errorf("%s: it was applied, and is %q, %v", c.key, o.Body, err)
		}
	}
}
