// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs_test

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/gcs"
	"github.com/salvor-io/salvor/objstore/httpx"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/test/contract"
)

// at are options for a server of a test.
func at(endpoint string) gcs.Options {
	return gcs.Options{Bucket: "bucket", Endpoint: endpoint, Anonymous: true}
}

func created(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"generation":"1"}`)
}

func whole(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Last-Modified", time.Unix(1000, 0).UTC().Format(http.TimeFormat))
	_, _ = io.WriteString(w, "body")
}

// refuse answers as the JSON API does, or, to a read, as the XML API.
func refuse(status int, reason string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/bucket/") {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>said the server</Message></Error>", reason)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%d,"message":"said the server","errors":[{"domain":"global","reason":%q,"message":"said the server"}]}}`, status, reason)
	}
}

func TestWire(t *testing.T) {
	contract.Row(t, 125)
	objstoretest.Wire(t, objstoretest.Driver{
		Open: func(endpoint string, l httpx.Limits, ca []byte) (objstore.Bucket, error) {
			o := at(endpoint)
			o.Limits, o.CA = l, ca
			b, err := gcs.Open(t.Context(), o)
			if err != nil {
				return nil, err
			}
			return b, nil
		},
		Created: created, Whole: whole,
	})
}

// One put is one request, whatever its size: never a session of chunks.
func TestAPutIsOneRequest(t *testing.T) {
	contract.Row(t, 124)
	for _, size := range []int{0, 1, 5 << 20, objstore.MaxObject} {
		s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
		r, err := open(t, at(s.URL)).PutIfAbsent(t.Context(), "a/b", make([]byte, size), "att/1 é")
		if r.Outcome != objstore.Created || err != nil || r.Date.IsZero() {
			t.Fatalf("%d bytes: %+v, %v", size, r, err)
		}
		seen := s.Asked()
		if len(seen) != 1 {
			t.Fatalf("%d bytes: %d requests", size, len(seen))
		}
		q := seen[0].URL.Query()
		if seen[0].Method != http.MethodPost || seen[0].URL.Path != "/upload/storage/v1/b/bucket/o" || q.Get("uploadType") != "multipart" || q.Get("ifGenerationMatch") != "0" {
			t.Errorf("%d bytes: %s %s", size, seen[0].Method, seen[0].URL)
		}
		object, body := parts(t, seen[0])
		for _, want := range []string{`"name":"a/b"`, `"salvor-attempt":"att/1 é"`, `"crc32c":"`} {
			if !strings.Contains(object, want) {
				t.Errorf("%d bytes: %s; want %s", size, object, want)
			}
		}
		if len(body) != size {
			t.Errorf("%d bytes: %d arrived", size, len(body))
		}
	}
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) { created(w, r) })
	_, _ = open(t, at(s.URL)).PutIfAbsent(t.Context(), "k", []byte("123456789"), "a")
	if object, _ := parts(t, s.Asked()[0]); !strings.Contains(object, `"crc32c":"4waSgw=="`) { // 0xe3069283: the check value that CRC-32C is known by
		t.Error(object)
	}
}

// parts are the two of an upload.
func parts(t *testing.T, a objstoretest.Asked) (object, body string) {
	t.Helper()
	_, p, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := multipart.NewReader(strings.NewReader(string(a.Body)), p["boundary"]); ; {
		part, err := r.NextPart()
		if err != nil {
			break
		}
		b, _ := io.ReadAll(part)
		got = append(got, string(b))
	}
	if len(got) != 2 {
		t.Fatalf("%d parts", len(got))
	}
	return got[0], got[1]
}

// Each provider code, as it comes over the wire.
func TestEachCodeOverTheWire(t *testing.T) {
	contract.Row(t, 126)
	for _, c := range []struct {
		status int
		reason string
		want   objstore.Outcome
		err    error
	}{
		{412, "conditionNotMet", objstore.Exists, nil},
		{412, "orgPolicyConstraintFailed", objstore.Retry, nil},
		{409, "conflict", objstore.Retry, nil},
		{429, "rateLimitExceeded", objstore.Retry, nil},
		{401, "authError", objstore.Retry, objstore.ErrAccessDenied},
		{403, "forbidden", objstore.Retry, objstore.ErrAccessDenied},
		{404, "notFound", objstore.Retry, objstore.ErrNoSuchBucket},
		{400, "invalid", objstore.Retry, nil},
		{408, "requestTimeout", objstore.Unknown, nil},
		{500, "internalError", objstore.Unknown, nil},
		{502, "badGateway", objstore.Unknown, nil},
		{503, "backendError", objstore.Unknown, nil},
		{504, "gatewayTimeout", objstore.Unknown, nil},
	} {
		s := objstoretest.StartScript(t, refuse(c.status, c.reason))
		r, err := open(t, at(s.URL)).PutIfAbsent(t.Context(), "k", []byte("x"), "a")
		if r.Outcome != c.want || (c.err != nil && !errors.Is(err, c.err)) || len(s.Asked()) != 1 {
			t.Errorf("%d %s: %v, %v, %d requests; want %v, %v", c.status, c.reason, r.Outcome, err, len(s.Asked()), c.want, c.err)
		}
		if wantErr := c.want != objstore.Created && c.want != objstore.Exists; wantErr != (err != nil) {
			t.Errorf("%d %s: %v with error %v", c.status, c.reason, r.Outcome, err)
		}
		if (c.want == objstore.Unknown) != r.Date.IsZero() {
			t.Errorf("%d %s: %v at %v", c.status, c.reason, r.Outcome, r.Date)
		}
	}
}

// A 200 whose end was lost says that something was stored, not what.
func TestHalfAnAnswerIsUnknown(t *testing.T) {
	s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"generation":`)
	})
	if r, err := open(t, at(s.URL)).PutIfAbsent(t.Context(), "k", nil, "a"); r.Outcome != objstore.Unknown || err == nil || len(s.Asked()) != 1 {
		t.Errorf("%v, %v, %d requests; want Unknown", r.Outcome, err, len(s.Asked()))
	}
}

func TestErrorsSayWhatToDoNext(t *testing.T) {
	for _, c := range []struct {
		status       int
		reason, word string
		is           error
	}{
		{403, "forbidden", "storage.objects.create", objstore.ErrAccessDenied},
		{401, "authError", "clock", objstore.ErrAccessDenied},
		{404, "NoSuchBucket", "create the bucket", objstore.ErrNoSuchBucket},
		{413, "uploadTooLarge", "9 MiB", nil},
		{301, "", "endpoint", nil},
	} {
		s := objstoretest.StartScript(t, refuse(c.status, c.reason))
		b := open(t, at(s.URL))
		r, putErr := b.PutIfAbsent(t.Context(), "k", nil, "a")
		_, getErr := b.Get(t.Context(), "k")
		var listErr error
		for _, err := range b.List(t.Context(), "", "") {
			listErr = err
		}
		for verb, err := range map[string]error{"put": putErr, "get": getErr, "list": listErr} {
			if err == nil || !strings.Contains(err.Error(), c.word) || !strings.Contains(err.Error(), "gs://bucket at "+s.URL) || (c.is != nil && !errors.Is(err, c.is)) {
				t.Errorf("%d %s: %s: %v", c.status, c.reason, verb, err)
			}
		}
		if r.Outcome != objstore.Retry {
			t.Errorf("%d %s: %v; want Retry", c.status, c.reason, r.Outcome)
		}
	}
}

// Google's own word that a key is absent costs one request; a 404 of anybody else
// is asked again by a listing, and absence is believed only from that.
func TestAProxys404IsNotAbsence(t *testing.T) {
	contract.Row(t, 126)
	s := objstoretest.StartScript(t, refuse(404, "NoSuchKey"))
	if _, err := open(t, at(s.URL)).Get(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) || len(s.Asked()) != 1 {
		t.Errorf("%v, %d requests", err, len(s.Asked()))
	}
	for name, c := range map[string]struct {
		listing string
		absent  bool
	}{
		"and nothing else answers": {"", false},
		"and it is listed":         {`{"items":[{"name":"k","size":"1","updated":"2026-01-02T03:04:05.678Z"}]}`, false},
		"and another is listed":    {`{"items":[{"name":"kk","size":"1","updated":"2026-01-02T03:04:05.678Z"}]}`, true},
		"and nothing is listed":    {`{}`, true},
	} {
		s := objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/storage/v1/b/bucket/o" && c.listing != "" {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, c.listing)
				return
			}
			http.Error(w, "default backend - 404", 404)
		})
		b := open(t, at(s.URL))
		_, getErr := b.Get(t.Context(), "k")
		_, rangeErr := b.GetRange(t.Context(), "k", 0, 1)
		for verb, err := range map[string]error{"get": getErr, "get range": rangeErr} {
			if err == nil || errors.Is(err, objstore.ErrNotFound) != c.absent {
				t.Errorf("%s: %s: %v", name, verb, err)
			}
		}
		if err := b.Delete(t.Context(), "k"); err == nil {
			t.Errorf("%s: delete: success", name)
		}
	}
}

func TestAListingThatCannotBeTrustedIsAnError(t *testing.T) {
	page := func(token string, keys ...string) string {
		var items []string
		for _, k := range keys {
			items = append(items, fmt.Sprintf(`{"name":%q,"size":"1","updated":"2026-01-02T03:04:05.678Z"}`, k))
		}
		return fmt.Sprintf(`{"nextPageToken":%q,"items":[%s]}`, token, strings.Join(items, ","))
	}
	for name, c := range map[string]struct {
		pages []string
		want  string // keys, and "!" for an error
	}{
		"two pages":               {[]string{page("t", "k1", "k2"), page("", "k3")}, "k1 k2 k3"},
		"an empty page between":   {[]string{page("t"), page("", "k3")}, "k3"},
		"the same page again":     {[]string{page("t", "k1"), page("t", "k2")}, "k1 k2 !"},
		"out of order":            {[]string{page("", "k2", "k1")}, "k2 !"},
		"out of order over pages": {[]string{page("t", "k2"), page("", "k1")}, "k2 !"},
		"twice":                   {[]string{page("", "k1", "k1")}, "k1 !"},
		"another prefix":          {[]string{page("", "j")}, "!"},
		"no time":                 {[]string{`{"items":[{"name":"k1","size":"1"}]}`}, "!"},
		"no listing":              {[]string{"<html>"}, "!"},
	} {
		s := objstoretest.StartScript(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if (n > 1) != (r.URL.Query().Get("pageToken") == "t") {
				t.Errorf("%s: request %d: %s", name, n, r.URL)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, c.pages[n-1])
		})
		var got []string
		for e, err := range open(t, at(s.URL)).List(t.Context(), "k", "") {
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
