// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
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

func (s *script) options() s3.Options {
	return s3.Options{Bucket: "bucket", Endpoint: s.URL, PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret"}
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
	for _, size := range []int{0, 1, 5 << 20, objstore.MaxObject} {
		s := serve(t, func(int, http.ResponseWriter, *http.Request) {})
		b := open(t, s.options())
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

// The heart of it, on a real server: the put was applied, the answer never came.
func TestADroppedAnswerIsUnknownAndNeverExists(t *testing.T) {
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

func TestCredentialsFromAMountedSecret(t *testing.T) {
	server := objstoretest.StartVersitygw(t)
	o := server.Options(server.NewBucket(t))
	dir := t.TempDir()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": o.AccessKeyID + "\n", "AWS_SECRET_ACCESS_KEY": o.SecretAccessKey + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.AccessKeyID, o.SecretAccessKey, o.CredentialsDir = "", "", dir
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	// Files that are not there: nothing was sent.
	o.CredentialsDir = filepath.Join(dir, "nowhere")
	if r, err := open(t, o).PutIfAbsent(t.Context(), "j", nil, "a"); r.Outcome != objstore.Retry || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v, %v; want Retry, ErrNotExist", r.Outcome, err)
	}
}

// With credentials given the environment of this process is not asked.
func TestGivenCredentialsAreNotMixedWithTheEnvironment(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "operator")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "operator")
	t.Setenv("AWS_PROFILE", "does-not-exist")
	t.Setenv("AWS_ENDPOINT_URL", "http://name.invalid")
	s := serve(t, func(int, http.ResponseWriter, *http.Request) {})
	if r, err := open(t, s.options()).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	if auth := s.seen()[0].Header.Get("Authorization"); !strings.Contains(auth, "Credential=id/") {
		t.Errorf("signed as %s", auth)
	}
}

func TestACAOfOnesOwn(t *testing.T) {
	tls := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer tls.Close()
	o := s3.Options{Bucket: "bucket", Endpoint: tls.URL, PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret"}
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Retry || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v, %v; want Retry", r.Outcome, err)
	}
	o.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Created {
		t.Errorf("%v, %v", r.Outcome, err)
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, o.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	o.CA = nil
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Created {
		t.Errorf("AWS_CA_BUNDLE: %v, %v", r.Outcome, err)
	}
	// And with the SDK's own chain, which reads the bundle itself.
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	o.AccessKeyID, o.SecretAccessKey = "", ""
	if r, err := open(t, o).PutIfAbsent(t.Context(), "k", []byte("x"), "a"); r.Outcome != objstore.Created {
		t.Errorf("AWS_CA_BUNDLE and the chain: %v, %v", r.Outcome, err)
	}
	o.CA = []byte("no certificate")
	if _, err := s3.Open(t.Context(), o); err == nil {
		t.Error("a CA that is none was taken")
	}
}

// The environment is read once per process, so the put is made by another one.
func TestTheProxyOfTheEnvironmentIsUsed(t *testing.T) {
	if os.Getenv("SALVOR_TEST_PROXY_CHILD") != "" {
		o := s3.Options{Bucket: "bucket", Endpoint: "http://s3.invalid", PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret"}
		if r, err := open(t, o).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
		return
	}
	proxy := serve(t, func(int, http.ResponseWriter, *http.Request) {})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheProxyOfTheEnvironmentIsUsed$")
	cmd.Env = append(os.Environ(), "SALVOR_TEST_PROXY_CHILD=1", "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if seen := proxy.seen(); len(seen) != 1 || seen[0].URL.Host != "s3.invalid" {
		t.Fatalf("the proxy saw %d requests", len(seen))
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	for name, o := range map[string]s3.Options{
		"no bucket":   {},
		"half a key":  {Bucket: "b", Endpoint: "http://h", AccessKeyID: "id"},
		"no URL":      {Bucket: "b", Endpoint: "host:7070"},
		"another way": {Bucket: "b", Endpoint: "ftp://host"},
	} {
		if _, err := s3.Open(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
