// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// cloud speaks as much of the protocols of Google Cloud Storage and of Azure Blob
// Storage as the drivers do, over any bucket, to those who may.
type cloud struct {
	*httptest.Server
	bucket objstore.Bucket
	owner  string // who may

	mu    sync.Mutex
	asked map[string]int // requests by who asked
}

func startCloud(t *testing.T, b objstore.Bucket, owner string) *cloud {
	c := &cloud{bucket: b, owner: owner, asked: map[string]int{}}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

// callers are who has asked for anything.
func (c *cloud) callers() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(c.asked)), ", ")
}

// caller is whose credentials came with a request: the issuer of a signed token, the
// account of a key, the signature of a shared access.
func caller(r *http.Request) string {
	how, proof, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch how {
	case "SharedKey":
		account, _, _ := strings.Cut(proof, ":")
		return account
	case "Bearer":
		if parts := strings.Split(proof, "."); len(parts) == 3 {
			var claims struct{ Iss string }
			raw, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err == nil && json.Unmarshal(raw, &claims) == nil {
				return claims.Iss
			}
		}
		return "token " + proof
	}
	return "signature " + r.URL.Query().Get("sig")
}

// ServeHTTP implements http.Handler: gs://bucket below /, the account of
// azblob://box below /tenant.
func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who := caller(r)
	c.mu.Lock()
	c.asked[who]++
	c.mu.Unlock()
	path := r.URL.Path
	google := !strings.HasPrefix(path, "/tenant/")
	switch {
	case who != c.owner && google:
		googleError(w, http.StatusForbidden, "forbidden")
	case who != c.owner:
		azureError(w, http.StatusForbidden, "AuthorizationFailure")
	case path == "/upload/storage/v1/b/bucket/o":
		c.insert(w, r)
	case path == "/storage/v1/b/bucket/o":
		c.items(w, r)
	case strings.HasPrefix(path, "/storage/v1/b/bucket/o/"):
		_ = c.bucket.Delete(r.Context(), strings.TrimPrefix(path, "/storage/v1/b/bucket/o/"))
		w.WriteHeader(http.StatusNoContent)
	case strings.HasPrefix(path, "/bucket/"):
		c.get(w, r, strings.TrimPrefix(path, "/bucket/"))
	case path == "/tenant/box":
		c.blobs(w, r)
	case r.Method == http.MethodPut:
		c.upload(w, r, strings.TrimPrefix(path, "/tenant/box/"))
	case r.Method == http.MethodDelete:
		_ = c.bucket.Delete(r.Context(), strings.TrimPrefix(path, "/tenant/box/"))
		w.WriteHeader(http.StatusAccepted)
	default:
		c.get(w, r, strings.TrimPrefix(path, "/tenant/box/"))
	}
}

func googleError(w http.ResponseWriter, status int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":"said the server","errors":[{"reason":%q}]}}`, status, reason)
}

func azureError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Ms-Error-Code", code)
	w.WriteHeader(status)
}

// insert creates an object of Google's; the condition is in the query.
func (c *cloud) insert(w http.ResponseWriter, r *http.Request) {
	_, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	parts := multipart.NewReader(r.Body, params["boundary"])
	var meta struct{ Name string }
	first, err := parts.NextPart()
	if err == nil {
		err = json.NewDecoder(first).Decode(&meta)
	}
	second, err2 := parts.NextPart()
	if err != nil || err2 != nil || r.FormValue("ifGenerationMatch") != "0" {
		googleError(w, http.StatusBadRequest, "invalid")
		return
	}
	body, _ := io.ReadAll(second)
	if got, _ := c.bucket.PutIfAbsent(r.Context(), meta.Name, body, "server"); got.Outcome != objstore.Created {
		googleError(w, http.StatusPreconditionFailed, "conditionNotMet")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"generation":"1"}`)
}

// upload creates a blob of Azure's; the condition is in a header.
func (c *cloud) upload(w http.ResponseWriter, r *http.Request, key string) {
	body, _ := io.ReadAll(r.Body)
	got, _ := c.bucket.PutIfAbsent(r.Context(), key, body, "server")
	if r.Header.Get("If-None-Match") != "*" || got.Outcome != objstore.Created {
		azureError(w, http.StatusConflict, "BlobAlreadyExists")
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (c *cloud) get(w http.ResponseWriter, r *http.Request, key string) {
	o, err := c.bucket.Get(r.Context(), key)
	if err != nil {
		azureError(w, http.StatusNotFound, "BlobNotFound")
		_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code></Error>`)
		return
	}
	w.Header().Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	_, _ = w.Write(o.Body)
}

// list is everything below a prefix, on one page.
func (c *cloud) list(r *http.Request) (out []objstore.Entry) {
	for e, err := range c.bucket.List(r.Context(), r.FormValue("prefix"), "") {
		if err == nil {
			out = append(out, e)
		}
	}
	return out
}

func (c *cloud) items(w http.ResponseWriter, r *http.Request) {
	items := []map[string]string{}
	for _, e := range c.list(r) {
		items = append(items, map[string]string{"name": e.Key, "size": fmt.Sprint(e.Size), "updated": e.Modified.UTC().Format(time.RFC3339Nano)})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"items": items})
}

func (c *cloud) blobs(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/xml")
	_, _ = io.WriteString(w, `<EnumerationResults><Blobs>`)
	for _, e := range c.list(r) {
		_, _ = io.WriteString(w, `<Blob><Name>`)
		_ = xml.EscapeText(w, []byte(e.Key))
		fmt.Fprintf(w, `</Name><Properties><Content-Length>%d</Content-Length><Last-Modified>%s</Last-Modified></Properties></Blob>`, e.Size, e.Modified.UTC().Format(http.TimeFormat))
	}
	_, _ = io.WriteString(w, `</Blobs><NextMarker/></EnumerationResults>`)
}

// connection is a connection string to the server's account with a shared access.
func (c *cloud) connection(sig string) string {
	return "BlobEndpoint=" + c.URL + "/tenant;SharedAccessSignature=" + url.Values{"sv": {"2024-01-01"}, "sig": {sig}}.Encode()
}
