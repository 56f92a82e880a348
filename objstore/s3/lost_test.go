// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/test/contract"
)

// A connection that ends after the request is Unknown, and a body that ends early
// is no body.
func TestAnAnswerThatBreaksOff(t *testing.T) {
	s := serve(t, func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	b := open(t, s.options())
	r, err := b.PutIfAbsent(t.Context(), "k", []byte("x"), "a")
	if r.Outcome != objstore.Unknown || err == nil || !r.Date.IsZero() || len(s.seen()) != 1 {
		t.Errorf("%+v, %v, %d requests; want Unknown, one request", r, err, len(s.seen()))
	}

	s = serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	})
	if o, err := open(t, s.options()).Get(t.Context(), "k"); err == nil {
		t.Errorf("half a body was taken for whole: %q", o.Body)
	}
}

func TestNoServerIsRetryBecauseNothingWasSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, scheme := range []string{"http", "https"} {
		endpoint := scheme + "://" + l.Addr().String()
		b := open(t, s3.Options{Bucket: "bucket", Endpoint: endpoint, PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret", ReadAttempts: 1})
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
func TestATimeoutIsUnknownAndNotTheCallersContext(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := serve(t, func(int, http.ResponseWriter, *http.Request) { <-release })
	for name, change := range map[string]func(*s3.Options){
		"answer": func(o *s3.Options) { o.AnswerTimeout = 50 * time.Millisecond },
		"call":   func(o *s3.Options) { o.CallTimeout = 50 * time.Millisecond },
	} {
		o := s.options()
		change(&o)
		r, err := open(t, o).PutIfAbsent(t.Context(), "k", []byte("x"), "a")
		if r.Outcome != objstore.Unknown || err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, %v; want Unknown, and no word of a context", name, r.Outcome, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	arrived := serve(t, func(int, http.ResponseWriter, *http.Request) { cancel(); <-release })
	r, err := open(t, arrived.options()).PutIfAbsent(ctx, "k", []byte("x"), "a")
	if r.Outcome != objstore.Unknown || !errors.Is(err, context.Canceled) {
		t.Errorf("ended after it was sent: %v, %v; want Unknown, canceled", r.Outcome, err)
	}
}

// The heart of it, on a real server: the put was applied, the answer never came.
func TestADroppedAnswerIsUnknownAndNeverExists(t *testing.T) {
	contract.Row(t, 125)
	server := objstoretest.StartVersitygw(t)
	proxy := objstoretest.StartProxy(t, server)
	b := open(t, proxy.Options(server.NewBucket(t)))
	proxy.DropAnswers(func(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodDelete })
	for _, size := range []int{0, 100, objstore.MaxObject} {
		key, body := fmt.Sprintf("manifest/%d", size), bytes.Repeat([]byte("x"), size)
		before := len(proxy.Requests())
		r, err := b.PutIfAbsent(t.Context(), key, body, "attempt-1")
		if r.Outcome != objstore.Unknown || err == nil {
			t.Fatalf("%d bytes: %v, %v; want Unknown", size, r.Outcome, err)
		}
		if got := proxy.Requests()[before:]; len(got) != 1 {
			t.Errorf("%d bytes: %q; want one request", size, got)
		}
		if o, err := b.Get(t.Context(), key); err != nil || !bytes.Equal(o.Body, body) {
			t.Errorf("%d bytes: not applied: %v", size, err)
		}
	}
	if err := b.Delete(t.Context(), "manifest/0"); err == nil {
		t.Error("a delete without an answer is success")
	}
	proxy.DropAnswers(nil)
	if r, err := b.PutIfAbsent(t.Context(), "manifest/100", nil, "attempt-2"); r.Outcome != objstore.Exists || err != nil {
		t.Errorf("then: %v, %v; want Exists", r.Outcome, err)
	}
}
