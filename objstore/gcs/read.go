// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
)

// farAway is beyond the end of every object: Cloud Storage ends at 5 TiB, and sums
// of two such offsets do not overflow.
const farAway = math.MaxInt64 / 4

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := objstore.CheckKey(key); err != nil {
		return objstore.Object{}, err
	}
	ctx, call := b.begin(ctx, "get", key)
	defer call.End()
	object := objstore.Object{Key: key}
	err := b.again(ctx, call, func() (string, error) {
		head, body, code, err := b.read(ctx, key, "", objstore.MaxObject+1)
		if err != nil {
			return code, err
		}
		modified, err := http.ParseTime(head.Get("Last-Modified"))
		if err != nil {
			return "", fmt.Errorf("the answer does not say when the object was made: %w", err)
		}
		object.Body, object.Modified, object.Date = body, modified, call.Date()
		return "", nil
	})
	if err == nil {
		err = objstore.CheckGet(key, int64(len(object.Body)))
	}
	if err == nil || !b.doubtful(call) {
		return object, err
	}
	return objstore.Object{}, b.askAgain(ctx, call, key, err)
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	if err := objstore.CheckRange(key, off, n); err != nil {
		return nil, err
	}
	off, n = min(off, farAway), min(n, farAway)
	ctx, call := b.begin(ctx, "get range", key)
	defer call.End()
	var out []byte
	err := b.again(ctx, call, func() (code string, err error) {
		var head http.Header
		head, out, code, err = b.read(ctx, key, fmt.Sprintf("bytes=%d-%d", off, off+n-1), n)
		switch {
		case call.Answer("").Status == http.StatusRequestedRangeNotSatisfiable:
			out = nil
			return "", nil // the object is there and ends before off
		case err == nil && off > 0 && head.Get("Content-Range") == "":
			if head.Get("Content-Length") == "0" {
				out = nil
				return "", nil // an empty object has no ranges
			}
			return "", fmt.Errorf("the server does not know ranges")
		default:
			return code, err
		}
	})
	if err == nil || !b.doubtful(call) {
		return out, err
	}
	return nil, b.askAgain(ctx, call, key, err)
}

// maxError is how much of an answer that refuses is read, in bytes.
const maxError = 64 << 10

// read sends one GET of the XML API and returns at most n bytes of the body, or
// Google's word for why not.
func (b *Bucket) read(ctx context.Context, key, bytesRange string, n int64) (http.Header, []byte, string, error) {
	target := b.o.Endpoint + "/" + url.PathEscape(b.o.Bucket) + (&url.URL{Path: "/" + key}).EscapedPath()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, nil, "", err
	}
	req.Header.Set("User-Agent", "salvor")
	if bytesRange != "" {
		req.Header.Set("Range", bytesRange)
	}
	resp, err := b.send.Do(req)
	if err != nil {
		return nil, nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, maxError)) // what can be read of a refusal
		code := Reason(resp.StatusCode, said, true)
		return nil, nil, code, fmt.Errorf("%s %s", resp.Status, code)
	}
	size, _ := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64)
	body := bytes.NewBuffer(make([]byte, 0, min(max(size, 0), n, objstore.MaxObject)+bytes.MinRead))
	// A body that ends before what was announced is an error of net/http.
	if _, err = body.ReadFrom(io.LimitReader(resp.Body, n)); err != nil {
		return nil, nil, "", err
	}
	return resp.Header, body.Bytes(), "", nil
}

// doubtful: the last answer was a 404, of whomever.
func (b *Bucket) doubtful(call *httpx.Call) bool {
	return call.Answer("").Status == http.StatusNotFound
}

// askAgain returns what a get that was answered 404 failed with. Google's own 404
// has said which of key and bucket is missing. Any other is asked for by a listing
// of the one key: ErrNotFound only if that, too, has no such key.
func (b *Bucket) askAgain(ctx context.Context, call *httpx.Call, key string, said error) error {
	if isSentinel(said) {
		return said
	}
	page, err := b.page(ctx, key, "", "", 1)
	switch {
	case err != nil:
		return err
	case len(page.Items) > 0 && page.Items[0].Name == key:
		return said // it is there; whoever said 404 did not look
	case ctx.Err() != nil:
		return call.Wrap(httpx.Verdict{}, ctx.Err())
	default:
		return call.Wrap(Classify(httpx.Answer{Sent: true, Status: http.StatusNotFound, Code: noSuchKey}), fmt.Errorf("404, and a listing has no such key"))
	}
}

// modifiedAt reads the time of an entry of the JSON API.
func modifiedAt(s string) (time.Time, error) { return time.Parse(time.RFC3339Nano, s) }
