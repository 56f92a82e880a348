// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3serve_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
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

// What clients of other languages send: a body in chunks with sums behind it, names
// that have to be escaped, and requests that are none of ours.
func TestRequestsOfOtherClients(t *testing.T) {
	disk := mem.New(mem.Options{})
	server := httptest.NewServer(s3serve.Handler("root", s3serve.Bucket(disk)))
	t.Cleanup(server.Close)
	send := func(method, path, body string, headers ...string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(raw)
	}
	chunked := "5;chunk-signature=abc\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		says               string
	}{
		{"PUT", "/root/a+b%20c", "", []string{"If-None-Match", "*"}, 400, "InvalidArgument"}, // no blank in a name
		{"PUT", "/root/dir/a+b", chunked, []string{"If-None-Match", "*", "X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, 200, ""},
		{"GET", "/root/dir/a+b", "", nil, 200, "hello world"},
		{"GET", "/root/dir/a+b", "", []string{"Range", "bytes=6-"}, 206, "world"},
		{"GET", "/root/dir/a+b", "", []string{"Range", "bytes=99-"}, 416, "InvalidRange"},
		{"HEAD", "/root/dir/a+b", "", nil, 200, ""},
		{"PUT", "/root/dir/a+b", "x", []string{"If-None-Match", "*"}, 412, "PreconditionFailed"},
		{"PUT", "/root/dir/a+b", "x", nil, 501, "NotImplemented"},
		{"PUT", "/root/copy", "", []string{"If-None-Match", "*", "X-Amz-Copy-Source", "/root/dir/a+b"}, 501, "NotImplemented"},
		{"POST", "/root/?delete", "", nil, 501, "NotImplemented"},
		{"GET", "/root/?list-type=2&prefix=dir/&encoding-type=url", "", nil, 200, "<Key>dir%2Fa%2Bb</Key>"},
		{"GET", "/root/?list-type=2&prefix=dir/", "", nil, 200, "<Key>dir/a+b</Key>"},
		{"GET", "/root/?versions", "", nil, 501, "NotImplemented"},
		{"GET", "/other/a", "", nil, 404, "NoSuchBucket"},
		{"DELETE", "/root/dir/a+b", "", nil, 204, ""},
		{"GET", "/root/dir/a+b", "", nil, 404, "NoSuchKey"},
	} {
		status, body := send(c.method, c.path, c.body, c.headers...)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, status, body, c.status, c.says)
		}
	}
}
