// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/azblob"
	"github.com/salvor-io/salvor/objstore/httpx"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/test/contract"
)

// at are options for a server of a test.
func at(endpoint string) azblob.Options {
	return azblob.Options{Container: "box", Endpoint: endpoint, Account: "account", AccountKey: "a2V5"}
}

func created(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }

func whole(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Last-Modified", time.Unix(1000, 0).UTC().Format(http.TimeFormat))
	_, _ = io.WriteString(w, "body")
}

func refuse(status int, code string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		if code != "" {
			w.Header().Set("x-ms-error-code", code)
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>said the server</Message></Error>", code)
	}
}

func TestWire(t *testing.T) {
	contract.Row(t, 125)
	objstoretest.Wire(t, objstoretest.Driver{
		Open: func(endpoint string, l httpx.Limits, ca []byte) (objstore.Bucket, error) {
			o := at(endpoint)
			o.Limits, o.CA = l, ca
			b, err := azblob.Open(t.Context(), o)
			if err != nil {
				return nil, err
			}
			return b, nil
		},
		Created: created, Whole: whole,
	})
}

// One put is one request, whatever its size: never blocks and a list of them.
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
		q := seen[0]
		for name, want := range map[string]string{
			"If-None-Match": "*", "X-Ms-Blob-Type": "BlockBlob", "X-Ms-Meta-Salvorattempt": "att%2F1%20%C3%A9", "Content-Encoding": "", "X-Ms-Structured-Body": "",
		} {
			if got := q.Header.Get(name); got != want {
				t.Errorf("%d bytes: %s: %q, want %q", size, name, got, want)
			}
		}
		if q.Header.Get("X-Ms-Content-Crc64") == "" || !strings.HasPrefix(q.Header.Get("Authorization"), "SharedKey account:") {
			t.Errorf("%d bytes: no checksum, or not signed: %v", size, q.Header)
		}
		if q.Method != http.MethodPut || q.URL.RequestURI() != "/box/a%2Fb" || len(q.Body) != size || q.TransferEncoding != nil {
			t.Errorf("%d bytes: %s %s, %d bytes, %v", size, q.Method, q.URL.RequestURI(), len(q.Body), q.TransferEncoding)
		}
	}
}

// Each provider code, as it comes over the wire.
func TestEachCodeOverTheWire(t *testing.T) {
	contract.Row(t, 126)
	for _, c := range []struct {
		status int
		code   string
		want   objstore.Outcome
		err    error
	}{
		{409, "BlobAlreadyExists", objstore.Exists, nil},
		{412, "ConditionNotMet", objstore.Exists, nil},
		{409, "ContainerBeingDeleted", objstore.Retry, objstore.ErrNoSuchBucket},
		{409, "BlobImmutableDueToPolicy", objstore.Retry, nil},
		{429, "TooManyRequests", objstore.Retry, nil},
		{403, "AuthenticationFailed", objstore.Retry, objstore.ErrAccessDenied},
		{403, "AuthorizationPermissionMismatch", objstore.Retry, objstore.ErrAccessDenied},
		{404, "ContainerNotFound", objstore.Retry, objstore.ErrNoSuchBucket},
		{400, "InvalidHeaderValue", objstore.Retry, nil},
		{412, "LeaseIdMissing", objstore.Unknown, nil},
		{500, "InternalError", objstore.Unknown, nil},
		{500, "OperationTimedOut", objstore.Unknown, nil},
		{502, "", objstore.Unknown, nil},
		{503, "ServerBusy", objstore.Unknown, nil},
		{504, "", objstore.Unknown, nil},
	} {
		s := objstoretest.StartScript(t, refuse(c.status, c.code))
		r, err := open(t, at(s.URL)).PutIfAbsent(t.Context(), "k", []byte("x"), "a")
		if r.Outcome != c.want || (c.err != nil && !errors.Is(err, c.err)) || len(s.Asked()) != 1 {
			t.Errorf("%d %s: %v, %v, %d requests; want %v, %v", c.status, c.code, r.Outcome, err, len(s.Asked()), c.want, c.err)
		}
		if wantErr := c.want != objstore.Exists; wantErr != (err != nil) {
			t.Errorf("%d %s: %v with error %v", c.status, c.code, r.Outcome, err)
		}
		if (c.want == objstore.Unknown) != r.Date.IsZero() {
			t.Errorf("%d %s: %v at %v", c.status, c.code, r.Outcome, r.Date)
		}
	}
}

func TestErrorsSayWhatToDoNext(t *testing.T) {
	for _, c := range []struct {
		status     int
		code, word string
		is         error
	}{
		{403, "AuthorizationPermissionMismatch", "Storage Blob Data Contributor", objstore.ErrAccessDenied},
		{403, "AuthenticationFailed", "clock", objstore.ErrAccessDenied},
		{404, "ContainerNotFound", "create the container", objstore.ErrNoSuchBucket},
		{400, "InvalidHeaderValue", "version", nil},
		{413, "RequestBodyTooLarge", "9 MiB", nil},
		{301, "", "endpoint", nil},
	} {
		s := objstoretest.StartScript(t, refuse(c.status, c.code))
		b := open(t, at(s.URL))
		r, putErr := b.PutIfAbsent(t.Context(), "k", nil, "a")
		_, getErr := b.Get(t.Context(), "k")
		var listErr error
		for _, err := range b.List(t.Context(), "", "") {
			listErr = err
		}
		for verb, err := range map[string]error{"put": putErr, "get": getErr, "list": listErr} {
			if err == nil || !strings.Contains(err.Error(), c.word) || !strings.Contains(err.Error(), "azblob://box at "+s.URL) || (c.is != nil && !errors.Is(err, c.is)) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%d %s: %s: %v", c.status, c.code, verb, err)
			}
		}
		if r.Outcome != objstore.Retry {
			t.Errorf("%d %s: %v; want Retry", c.status, c.code, r.Outcome)
		}
	}
}

// A 404 of a proxy in front of nothing is not Azure's word that a key is absent.
func TestAProxys404IsNotAbsence(t *testing.T) {
	contract.Row(t, 126)
	s := objstoretest.StartScript(t, refuse(404, "BlobNotFound"))
	b := open(t, at(s.URL))
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, objstore.ErrNotFound) || len(s.Asked()) != 1 {
		t.Errorf("%v, %d requests", err, len(s.Asked()))
	}
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Errorf("delete: %v", err)
	}
	s = objstoretest.StartScript(t, func(_ int, w http.ResponseWriter, _ *http.Request) { http.Error(w, "default backend - 404", 404) })
	b = open(t, at(s.URL))
	if _, err := b.Get(t.Context(), "k"); err == nil || errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if err := b.Delete(t.Context(), "k"); err == nil {
		t.Error("delete: success")
	}
}

func TestAListingThatCannotBeTrustedIsAnError(t *testing.T) {
	page := func(marker string, keys ...string) string {
		var x strings.Builder
		x.WriteString(`<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>`)
		for _, k := range keys {
			fmt.Fprintf(&x, "<Blob><Name>%s</Name><Properties><Last-Modified>Fri, 02 Jan 2026 03:04:05 GMT</Last-Modified><Content-Length>1</Content-Length></Properties></Blob>", k)
		}
		fmt.Fprintf(&x, "</Blobs><NextMarker>%s</NextMarker></EnumerationResults>", marker)
		return x.String()
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
		"no time":                 {[]string{`<EnumerationResults><Blobs><Blob><Name>k1</Name><Properties><Content-Length>1</Content-Length></Properties></Blob></Blobs></EnumerationResults>`}, "!"},
		"no listing":              {[]string{"<html></html>"}, "!"},
	} {
		s := objstoretest.StartScript(t, func(n int, w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			if (n > 1) != (q.Get("marker") == "t") || (n == 1) != (q.Get("startFrom") == "k") || q.Get("prefix") != "k" {
				t.Errorf("%s: request %d: %s", name, n, r.URL)
			}
			w.Header().Set("Content-Type", "application/xml")
			_, _ = io.WriteString(w, c.pages[n-1])
		})
		var got []string
		for e, err := range open(t, at(s.URL)).List(t.Context(), "k", "k") {
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
