// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/test/contract"
)

// script is an S3 server that answers from a list and keeps what it was asked.
type script struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request // with the body read into ContentLength
	respond  func(n int, w http.ResponseWriter, r *http.Request)
}

func serve(t *testing.T, respond func(n int, w http.ResponseWriter, r *http.Request)) *script {
	s := &script{respond: respond}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(s.Close)
	return s
}

func (s *script) handle(w http.ResponseWriter, r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	r.ContentLength = n
	s.mu.Lock()
	s.requests = append(s.requests, r)
	count := len(s.requests)
	s.mu.Unlock()
	s.respond(count, w, r)
}

func (s *script) seen() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// What somebody else put there may be of any size: it is refused before it is read.
func TestAnObjectThatNobodyHereWroteIsNotReadWhole(t *testing.T) {
	contract.Row(t, 125)
	for name, announced := range map[string]bool{"announced": true, "not announced": false} {
		t.Run(name, func(t *testing.T) {
			served := 0
			s := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				if announced {
					w.Header().Set("Content-Length", fmt.Sprint(1<<30))
				}
				piece := make([]byte, 1<<20)
				for served = 0; served < 64; served++ {
					if _, err := w.Write(piece); err != nil {
						return
					}
				}
			})
			if _, err := open(t, s.options()).Get(t.Context(), "k"); !errors.Is(err, objstore.ErrTooLarge) {
				t.Fatalf("%v; want ErrTooLarge", err)
			}
			s.Close() // waits for the handler
			if served == 64 {
				t.Error("all of it was taken")
			}
		})
	}
}

func (s *script) options() s3.Options {
	return s3.Options{Bucket: "bucket", Endpoint: s.URL, PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret"}
}

// overTLS serves the same over TLS and returns what opens it.
func (s *script) overTLS(t *testing.T) s3.Options {
	tls := httptest.NewTLSServer(http.HandlerFunc(s.handle))
	t.Cleanup(tls.Close)
	o := s.options()
	o.Endpoint = tls.URL
	o.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	return o
}

func refuse(status int, code string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>said the server</Message></Error>", code)
	}
}

// One put is one request, of the plain kind that every server knows, whatever its size.
func TestAPutIsOnePlainRequest(t *testing.T) {
	for i, size := range []int{0, 1, 5 << 20, objstore.MaxObject, 0, 1, 5 << 20, objstore.MaxObject} {
		s := serve(t, func(int, http.ResponseWriter, *http.Request) {})
		o := s.options()
		if i >= 4 { // the SDK chooses other ways to send a body over TLS
			o = s.overTLS(t)
		}
		b := open(t, o)
		r, err := b.PutIfAbsent(t.Context(), "a/b", make([]byte, size), "att/1 é")
		if r.Outcome != objstore.Created || err != nil {
			t.Fatalf("%d bytes: %v, %v", size, r.Outcome, err)
		}
		seen := s.seen()
		if len(seen) != 1 {
			t.Fatalf("%d bytes: %d requests", size, len(seen))
		}
		q := seen[0]
		for name, want := range map[string]string{
			"If-None-Match":                "*",
			"X-Amz-Meta-Salvor-Attempt":    "att%2F1%20%C3%A9",
			"X-Amz-Decoded-Content-Length": "",
			"X-Amz-Trailer":                "",
			"Content-Encoding":             "",
			"X-Amz-Sdk-Checksum-Algorithm": "",
			"X-Amz-Checksum-Crc32":         "",
		} {
			if got := q.Header.Get(name); got != want {
				t.Errorf("%d bytes: %s: %q, want %q", size, name, got, want)
			}
		}
		if sum := q.Header.Get("X-Amz-Content-Sha256"); len(sum) != 64 {
			t.Errorf("%d bytes: the body is not signed: %q", size, sum)
		}
		if q.Method != http.MethodPut || q.URL.RequestURI() != "/bucket/a/b?x-id=PutObject" || q.ContentLength != int64(size) || q.TransferEncoding != nil {
			t.Errorf("%d bytes: %s %s, %d bytes, %v", size, q.Method, q.URL, q.ContentLength, q.TransferEncoding)
		}
		if date, err := http.ParseTime(r.Date.UTC().Format(http.TimeFormat)); err != nil || !date.Equal(r.Date) || r.Date.IsZero() {
			t.Errorf("%d bytes: date %v", size, r.Date)
		}
	}
}

// Each provider code, as it comes over the wire: the rows of the table in package objstore.
func TestEachCodeOverTheWire(t *testing.T) {
	contract.Row(t, 125)
	contract.Row(t, 126)
	for _, c := range []struct {
		status int
		code   string
		want   objstore.Outcome
	}{
		{200, "", objstore.Created},
		{200, "InternalError", objstore.Unknown}, // S3 can say 200 and mean it not
		{412, "PreconditionFailed", objstore.Exists},
		{409, "ConditionalRequestConflict", objstore.Retry},
		{429, "TooManyRequests", objstore.Retry},
		{503, "SlowDown", objstore.Retry},
		{403, "AccessDenied", objstore.Retry},
		{404, "NoSuchBucket", objstore.Retry},
		{400, "InvalidArgument", objstore.Retry},
		{500, "InternalError", objstore.Unknown},
		{502, "BadGateway", objstore.Unknown},
		{503, "ServiceUnavailable", objstore.Unknown},
		{504, "GatewayTimeout", objstore.Unknown},
	} {
		respond := refuse(c.status, c.code)
		if c.status == 200 && c.code == "" {
			respond = func(int, http.ResponseWriter, *http.Request) {}
		}
		s := serve(t, respond)
		r, err := open(t, s.options()).PutIfAbsent(t.Context(), "k", []byte("x"), "a")
		if r.Outcome != c.want {
			t.Errorf("%d %s: %v, %v; want %v", c.status, c.code, r.Outcome, err, c.want)
		}
		if wantErr := c.want != objstore.Created && c.want != objstore.Exists; wantErr != (err != nil) {
			t.Errorf("%d %s: %v with error %v", c.status, c.code, r.Outcome, err)
		}
		if (c.want == objstore.Unknown) != r.Date.IsZero() {
			t.Errorf("%d %s: %v at %v", c.status, c.code, r.Outcome, r.Date)
		}
	}
}

// What the environment says about retries counts for reads only, if at all.
func TestNoSettingOfTheSDKSendsAWriteTwice(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
		"AWS_MAX_ATTEMPTS": "5", "AWS_RETRY_MODE": "adaptive", "AWS_DEFAULTS_MODE": "cross-region",
		"AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
	} {
		t.Setenv(name, value)
	}
	s := serve(t, refuse(500, "InternalError"))
	b := open(t, s3.Options{Bucket: "bucket", Endpoint: s.URL, PathStyle: true})
	r, _ := b.PutIfAbsent(t.Context(), "k", []byte("x"), "a")
	_ = b.Delete(t.Context(), "k")
	if seen := s.seen(); r.Outcome != objstore.Unknown || len(seen) != 2 || seen[0].Header.Get("X-Amz-Trailer") != "" {
		t.Errorf("%v, %d requests; want Unknown, 2 requests", r.Outcome, len(seen))
	}
}

// Whatever the server answers, what writes is sent once.
func TestWritesAreSentOnceAndReadsAgain(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
	}{{500, "InternalError"}, {503, "SlowDown"}, {503, "ServiceUnavailable"}, {429, "TooManyRequests"}, {409, "ConditionalRequestConflict"},
		{400, "RequestTimeout"}, {502, "BadGateway"}, {403, "RequestTimeTooSkewed"}, {307, "TemporaryRedirect"}} {
		s := serve(t, refuse(c.status, c.code))
		b := open(t, s.options())
		_, putErr := b.PutIfAbsent(t.Context(), "k", []byte("x"), "a")
		delErr := b.Delete(t.Context(), "k")
		if putErr == nil || delErr == nil || len(s.seen()) != 2 {
			t.Errorf("%d %s: %d requests for a put and a delete; %v; %v", c.status, c.code, len(s.seen()), putErr, delErr)
		}
	}

	// A read is tried again, and the second answer counts.
	s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			refuse(500, "InternalError")(n, w, r)
			return
		}
		w.Header().Set("Last-Modified", time.Unix(1000, 0).UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, "body")
	})
	o, err := open(t, s.options()).Get(t.Context(), "k")
	if err != nil || string(o.Body) != "body" || !o.Modified.Equal(time.Unix(1000, 0)) {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestErrorsSayWhatToDoNext(t *testing.T) {
	for _, c := range []struct {
		status     int
		code, word string
		is         error
	}{
		{403, "AccessDenied", "s3:PutObject", objstore.ErrAccessDenied},
		{403, "SignatureDoesNotMatch", "secret key", objstore.ErrAccessDenied},
		{404, "NoSuchBucket", "create the bucket", objstore.ErrNoSuchBucket},
		{301, "PermanentRedirect", "region", nil},
		{413, "", "9 MiB", nil},
		{501, "NotImplemented", "conditional writes", nil},
	} {
		s := serve(t, refuse(c.status, c.code))
		b := open(t, s.options())
		r, putErr := b.PutIfAbsent(t.Context(), "k", nil, "a")
		_, getErr := b.Get(t.Context(), "k")
		var listErr error
		for _, err := range b.List(t.Context(), "", "") {
			listErr = err
		}
		for verb, err := range map[string]error{"put": putErr, "get": getErr, "list": listErr} {
			if err == nil || !strings.Contains(err.Error(), c.word) || !strings.Contains(err.Error(), "s3://bucket at "+s.URL) || (c.is != nil && !errors.Is(err, c.is)) {
				t.Errorf("%d %s: %s: %v", c.status, c.code, verb, err)
			}
		}
		if r.Outcome != objstore.Retry {
			t.Errorf("%d %s: %v; want Retry", c.status, c.code, r.Outcome)
		}
	}
}

// A 404 of a proxy in front of nothing is not S3's word that a key is absent.
func TestAProxys404IsNotAbsence(t *testing.T) {
	contract.Row(t, 126)
	s := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { http.Error(w, "default backend - 404", 404) })
	b := open(t, s.options())
	if _, err := b.Get(t.Context(), "k"); err == nil || errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if err := b.Delete(t.Context(), "k"); err == nil {
		t.Error("delete: success")
	}
}

func TestAListingThatCannotBeTrustedIsAnError(t *testing.T) {
	page := func(truncated bool, token string, keys ...string) string {
		var x strings.Builder
		fmt.Fprintf(&x, "<ListBucketResult><IsTruncated>%v</IsTruncated>", truncated)
		if token != "" {
			fmt.Fprintf(&x, "<NextContinuationToken>%s</NextContinuationToken>", token)
		}
		for _, k := range keys {
			fmt.Fprintf(&x, "<Contents><Key>%s</Key><Size>1</Size><LastModified>2026-01-02T03:04:05Z</LastModified></Contents>", k)
		}
		return x.String() + "</ListBucketResult>"
	}
	for name, c := range map[string]struct {
		pages []string
		want  string // keys, and "!" for an error
	}{
		"two pages":               {[]string{page(true, "t", "k1", "k2"), page(false, "", "k3")}, "k1 k2 k3"},
		"an empty page between":   {[]string{page(true, "t"), page(false, "", "k3")}, "k3"},
		"cut short":               {[]string{page(true, "", "k1")}, "!"},
		"out of order":            {[]string{page(false, "", "k2", "k1")}, "k2 !"},
		"out of order over pages": {[]string{page(true, "t", "k2"), page(false, "", "k1")}, "k2 !"},
		"twice":                   {[]string{page(false, "", "k1", "k1")}, "k1 !"},
		"another prefix":          {[]string{page(false, "", "j")}, "!"},
	} {
		s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if (n > 1) != (r.URL.Query().Get("continuation-token") == "t") {
				t.Errorf("%s: request %d: %s", name, n, r.URL)
			}
			_, _ = io.WriteString(w, c.pages[n-1])
		})
		var got []string
		for e, err := range open(t, s.options()).List(t.Context(), "k", "") {
			if err != nil {
				e.Key = "!"
			}
			got = append(got, e.Key)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
