// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3serve

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/salvor-io/salvor/objstore"
)

// Func does a request. Wrap the one of [Bucket] to watch requests and to change
// what becomes of them.
type Func func(context.Context, *Request) *Response

// Response is what becomes of a request.
type Response struct {
	Status int
	// Code and Message of an error, as S3 has them: SlowDown.
	Code, Message string
	// Body, Modified and, for a part, the object's whole Size, of a get.
	Body     []byte
	Modified time.Time
	Size     int64
	// Entries of a listing; More: it goes on after them.
	Entries []objstore.Entry
	More    bool
	// Date is the clock of the store behind; zero: the host's.
	Date time.Time
}

// Lost is the response that never comes: the connection ends.
var Lost = &Response{}

// SlowDown says that nothing came in and that the client may try again.
func SlowDown(why string) *Response {
	return &Response{Status: http.StatusServiceUnavailable, Code: "SlowDown", Message: why}
}

// Handler serves do as the S3 bucket of this name, path style.
func Handler(bucket string, do Func) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := parse(bucket, r)
		switch {
		case errors.Is(err, objstore.ErrNoSuchBucket):
			answer(w, r, nil, failure(http.StatusNotFound, "NoSuchBucket", err))
		case errors.Is(err, errNotImplemented):
			answer(w, r, nil, failure(http.StatusNotImplemented, "NotImplemented", err))
		case err != nil: // a client that ended within its body has not asked for anything
			panic(http.ErrAbortHandler)
		default:
			answer(w, r, req, do(r.Context(), req))
		}
	})
}

func failure(status int, code string, err error) *Response {
	return &Response{Status: status, Code: code, Message: err.Error()}
}

type errorXML struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
}

type listXML struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Prefix                string
	EncodingType          string `xml:",omitempty"`
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []entryXML
}

type entryXML struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
}

func answer(w http.ResponseWriter, r *http.Request, req *Request, res *Response) {
	if res == Lost {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	if !res.Date.IsZero() {
		h.Set("Date", res.Date.UTC().Format(http.TimeFormat))
	}
	h.Set("x-amz-request-id", "salvor")
	var body []byte
	switch {
	case res.Code != "":
		h.Set("Content-Type", "application/xml")
		body = marshal(errorXML{Code: res.Code, Message: res.Message})
	case req.Verb == List && r.Method == http.MethodGet:
		h.Set("Content-Type", "application/xml")
		body = marshal(listing(req, res))
	case req.Verb == Get || req.Verb == Head:
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Last-Modified", res.Modified.UTC().Format(http.TimeFormat))
		h.Set("ETag", `"salvor"`)
		if res.Status == http.StatusPartialContent {
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", req.Offset, req.Offset+int64(len(res.Body))-1, res.Size))
		}
		body = res.Body
	case req.Verb == Put:
		h.Set("ETag", `"salvor"`)
	}
	if res.Status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(res.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone: nobody to tell
	}
}

func marshal(v any) []byte {
	raw, err := xml.Marshal(v)
	if err != nil { // plain structs of strings and numbers
		panic(err)
	}
	return append([]byte(xml.Header), raw...)
}

func listing(req *Request, res *Response) listXML {
	name := func(key string) string { return key }
	out := listXML{KeyCount: len(res.Entries), MaxKeys: req.Max, IsTruncated: res.More}
	if req.EncodeURL {
		out.EncodingType, name = "url", url.QueryEscape
	}
	out.Prefix = name(req.Key)
	for _, e := range res.Entries {
		out.Contents = append(out.Contents, entryXML{
			Key: name(e.Key), LastModified: e.Modified.UTC().Format("2006-01-02T15:04:05.000Z"), ETag: `"salvor"`, Size: e.Size,
		})
	}
	if res.More {
		out.NextContinuationToken = res.Entries[len(res.Entries)-1].Key
	}
	return out
}
