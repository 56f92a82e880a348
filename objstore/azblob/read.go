// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
)

// farAway is beyond the end of every blob: Azure ends at 190 TiB, and sums of two
// such offsets do not overflow.
const farAway = math.MaxInt64 / 4

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := objstore.CheckKey(key); err != nil {
		return objstore.Object{}, err
	}
	ctx, call := b.begin(ctx, "get", key)
	defer call.End()
	answer, body, err := b.read(ctx, key, blob.HTTPRange{}, objstore.MaxObject+1)
	if err == nil && answer.LastModified == nil {
		err = errors.New("the answer does not say when the blob was made")
	}
	if err != nil {
		_, err = fail(call, err)
		return objstore.Object{}, err
	}
	if err := objstore.CheckGet(key, int64(len(body))); err != nil {
		return objstore.Object{}, err
	}
	return objstore.Object{Key: key, Body: body, Modified: *answer.LastModified, Date: call.Date()}, nil
}

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	if err := objstore.CheckRange(key, off, n); err != nil {
		return nil, err
	}
	off, n = min(off, farAway), min(n, farAway)
	ctx, call := b.begin(ctx, "get range", key)
	defer call.End()
	answer, body, err := b.read(ctx, key, blob.HTTPRange{Offset: off, Count: n}, n)
	if call.Answer("").Status == http.StatusRequestedRangeNotSatisfiable {
		return nil, nil // the blob is there and ends before off
	}
	if err != nil {
		_, err = fail(call, err)
		return nil, err
	}
	if answer.ContentRange == nil && off > 0 {
		if answer.ContentLength != nil && *answer.ContentLength == 0 {
			return nil, nil // an empty blob has no ranges
		}
		return nil, call.Wrap(httpx.Verdict{}, errors.New("the server does not know ranges"))
	}
	return body, nil
}

// read returns at most n bytes. The body is read from the connection itself: the
// SDK's reader asks again for what is missing, and may get it from another blob
// of the same name.
func (b *Bucket) read(ctx context.Context, key string, part blob.HTTPRange, n int64) (blob.DownloadStreamResponse, []byte, error) {
	to, err := b.clients()
	if err != nil {
		return blob.DownloadStreamResponse{}, nil, err
	}
	answer, err := to.again.NewBlobClient(key).DownloadStream(ctx, &blob.DownloadStreamOptions{Range: part})
	if err != nil {
		return answer, nil, err
	}
	defer answer.Body.Close()
	size := int64(0)
	if answer.ContentLength != nil {
		size = *answer.ContentLength
	}
	// A body that ends before what was announced is an error of net/http.
	body := bytes.NewBuffer(make([]byte, 0, min(max(size, 0), n, objstore.MaxObject)+bytes.MinRead))
	_, err = body.ReadFrom(io.LimitReader(answer.Body, n))
	return answer, body.Bytes(), err
}
