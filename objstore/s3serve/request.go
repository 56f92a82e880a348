// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3serve

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/salvor-io/salvor/objstore"
)

// Verb is what a request asks for.
type Verb string

// The verbs.
const (
	Get    Verb = "GET"
	Head   Verb = "HEAD"
	List   Verb = "LIST"
	Put    Verb = "PUT"
	Delete Verb = "DELETE"
)

// Request is one request, understood.
type Request struct {
	Verb Verb
	// Key; of a listing, its prefix.
	Key string
	// Body of a put.
	Body []byte
	// IfAbsent: the put asks to create only.
	IfAbsent bool
	// Offset and Length of a get of a part; Length 0: all of it.
	Offset, Length int64
	// After: a listing begins behind this key. Max: it has at most so many keys.
	After string
	Max   int
	// EncodeURL: a listing has its keys escaped, as most clients ask for.
	EncodeURL bool
}

// String is the request in a word and a name.
func (r *Request) String() string { return string(r.Verb) + " " + r.Key }

// maxKeys is the most keys in a page of a listing, as S3 has it.
const maxKeys = 1000

// errNotImplemented is for what S3 knows and this package does not.
var errNotImplemented = errors.New("not implemented here")

// parse understands a request to the bucket of this name.
func parse(bucket string, r *http.Request) (*Request, error) {
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if name != bucket {
		return nil, fmt.Errorf("%w: bucket %q", objstore.ErrNoSuchBucket, name)
	}
	q := r.URL.Query()
	for name := range q {
		switch name {
		case "list-type", "prefix", "start-after", "continuation-token", "max-keys", "encoding-type", "x-id", "delimiter", "fetch-owner":
		default:
			return nil, fmt.Errorf("%w: parameter %q", errNotImplemented, name)
		}
	}
	req := &Request{Verb: Verb(r.Method), Key: key}
	switch {
	case r.Method == http.MethodGet && key == "":
		return parseList(req, q)
	case r.Method == http.MethodHead && key == "":
		req.Verb = List
		return req, nil
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		return req, parseRange(req, r.Header.Get("Range"))
	case r.Method == http.MethodDelete && key != "":
		return req, nil
	case r.Method == http.MethodPut && key != "":
		if r.Header.Get("X-Amz-Copy-Source") != "" {
			return nil, fmt.Errorf("%w: copies", errNotImplemented)
		}
		var err error
		req.IfAbsent = r.Header.Get("If-None-Match") == "*"
		req.Body, err = readBody(r)
		return req, err
	}
	return nil, fmt.Errorf("%w: %s", errNotImplemented, r.Method)
}

func parseList(req *Request, q url.Values) (*Request, error) {
	if q.Get("list-type") != "2" || q.Get("delimiter") != "" {
		return nil, fmt.Errorf("%w: listings are version 2, without delimiter", errNotImplemented)
	}
	req.Verb, req.Key, req.Max = List, q.Get("prefix"), maxKeys
	req.After = max(q.Get("start-after"), q.Get("continuation-token"))
	req.EncodeURL = q.Get("encoding-type") == "url"
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil && n > 0 && n < maxKeys {
		req.Max = n
	}
	return req, nil
}

// parseRange takes "bytes=a-b" and "bytes=a-"; anything else is the whole object, as
// HTTP has it.
func parseRange(req *Request, header string) error {
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || first == "" {
		return nil
	}
	a, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return nil
	}
	b := int64(1<<62) - 1
	if last != "" {
		if b, err = strconv.ParseInt(last, 10, 64); err != nil || b < a {
			return nil
		}
	}
	req.Offset, req.Length = a, b-a+1
	return nil
}

// readBody returns the body, taken out of aws-chunked where a client signs or sums
// it chunk by chunk.
func readBody(r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 2*objstore.MaxObject))
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return raw, nil
	}
	var body []byte
	for in := bufio.NewReader(bytes.NewReader(raw)); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("chunked body: %w", err)
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil {
			return nil, fmt.Errorf("chunked body: size %q: %w", size, err)
		}
		if n == 0 {
			return body, nil // trailers follow: sums, which TCP made needless here
		}
		chunk := make([]byte, n+2) // and its line end
		if _, err := io.ReadFull(in, chunk); err != nil {
			return nil, fmt.Errorf("chunked body: %w", err)
		}
		body = append(body, chunk[:n]...)
	}
}
