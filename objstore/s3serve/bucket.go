// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/salvor-io/salvor/objstore"
)

// Bucket does requests in b. What b cannot tell is told to nobody: a put whose
// outcome is Unknown has no answer.
func Bucket(b objstore.Bucket) Func {
	return func(ctx context.Context, req *Request) *Response {
		switch req.Verb {
		case Put:
			return put(ctx, b, req)
		case List:
			return list(ctx, b, req)
		case Delete:
			if err := b.Delete(ctx, req.Key); err != nil {
				return refused(err)
			}
			return &Response{Status: http.StatusNoContent}
		default:
			return get(ctx, b, req)
		}
	}
}

func put(ctx context.Context, b objstore.Bucket, req *Request) *Response {
	if !req.IfAbsent {
		return &Response{Status: http.StatusNotImplemented, Code: "NotImplemented", Message: "a put without If-None-Match: * would overwrite"}
	}
	res, err := b.PutIfAbsent(ctx, req.Key, req.Body, "s3serve")
	switch res.Outcome {
	case objstore.Created:
		return &Response{Status: http.StatusOK, Date: res.Date}
	case objstore.Exists:
		return &Response{Status: http.StatusPreconditionFailed, Code: "PreconditionFailed", Message: "the key is taken", Date: res.Date}
	case objstore.Retry:
		return refused(err)
	default:
		return Lost
	}
}

func get(ctx context.Context, b objstore.Bucket, req *Request) *Response {
	o, err := b.Get(ctx, req.Key)
	if err != nil {
		return refused(err)
	}
	res := &Response{Status: http.StatusOK, Body: o.Body, Size: int64(len(o.Body)), Modified: o.Modified, Date: o.Date}
	switch {
	case req.Length == 0:
	case req.Offset >= res.Size:
		return &Response{Status: http.StatusRequestedRangeNotSatisfiable, Code: "InvalidRange", Message: "the object ends before"}
	default:
		res.Status, res.Body = http.StatusPartialContent, o.Body[req.Offset:min(res.Size, req.Offset+req.Length)]
	}
	return res
}

func list(ctx context.Context, b objstore.Bucket, req *Request) *Response {
	res := &Response{Status: http.StatusOK}
	for e, err := range b.List(ctx, req.Key, req.After) {
		if err != nil {
			return refused(err)
		}
		if len(res.Entries) == max(req.Max, 1) {
			res.More = true
			break
		}
		res.Entries = append(res.Entries, e)
	}
	return res
}

// refused translates back what a driver has translated.
func refused(err error) *Response {
	for _, row := range []struct {
		is     error
		status int
		code   string
	}{
		{objstore.ErrNotFound, http.StatusNotFound, "NoSuchKey"},
		{objstore.ErrNoSuchBucket, http.StatusNotFound, "NoSuchBucket"},
		{objstore.ErrAccessDenied, http.StatusForbidden, "AccessDenied"},
		{objstore.ErrInvalidKey, http.StatusBadRequest, "InvalidArgument"},
		{objstore.ErrInvalidRange, http.StatusBadRequest, "InvalidArgument"},
		{objstore.ErrTooLarge, http.StatusBadRequest, "EntityTooLarge"},
	} {
		if errors.Is(err, row.is) {
			return failure(row.status, row.code, err)
		}
	}
	return SlowDown(fmt.Sprint(err))
}
