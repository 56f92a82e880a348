// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"time"

	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
)

// attemptMetadata is the object's metadata that holds the attempt id.
const attemptMetadata = "salvor-attempt"

// Bucket is a bucket of Cloud Storage. Safe for concurrent use.
type Bucket struct {
	o       Options
	where   string // for messages: "gs://bucket at endpoint"
	objects *storage.ObjectsService
	send    httpx.Observer
}

var _ objstore.Bucket = (*Bucket)(nil)

// Open returns the bucket. Nothing is sent to it, though the chain of credentials
// may ask its sources: whether the bucket is there and keeps its promises is what
// objstore.Probe finds out.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	client, err := httpx.NewClient(o.Limits, o.CA)
	if err != nil {
		return nil, fmt.Errorf("gcs: %w", err)
	}
	b := &Bucket{o: o, where: "gs://" + o.Bucket, send: httpx.Observer{Client: client}}
	if o.Endpoint != defaultEndpoint {
		b.where += " at " + o.Endpoint
	}
	a, err := newAuthorizer(o, client)
	if err != nil {
		return nil, err
	}
	if a != nil {
		b.send.Authorize = a.authorize
	}
	// With a client given, the service looks for no credentials of its own.
	service, err := storage.NewService(ctx,
		option.WithHTTPClient(&http.Client{Transport: b.send, CheckRedirect: client.CheckRedirect}),
		option.WithEndpoint(o.Endpoint+"/storage/v1/"))
	if err != nil {
		return nil, fmt.Errorf("gcs: %w", err)
	}
	service.UserAgent = "salvor"
	b.objects = service.Objects
	return b, nil
}

// Close implements objstore.Bucket.
func (b *Bucket) Close() error {
	b.send.Client.CloseIdleConnections()
	return nil
}

func (b *Bucket) begin(ctx context.Context, verb, key string) (context.Context, *httpx.Call) {
	return httpx.Begin(ctx, b.o.Limits, b.where, verb, key)
}

// PutIfAbsent implements objstore.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if err := objstore.CheckPut(key, body); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, err
	}
	ctx, call := b.begin(ctx, "put", key)
	defer call.End()
	object := &storage.Object{Name: key, Crc32c: checksum(body), Metadata: map[string]string{attemptMetadata: attempt}}
	_, err := b.objects.Insert(b.o.Bucket, object).
		IfGenerationMatch(0).
		Media(bytes.NewReader(body), googleapi.ChunkSize(0), googleapi.ContentType("application/octet-stream")).
		Fields("generation").
		Context(ctx).Do()
	if err == nil {
		return objstore.PutResult{Outcome: objstore.Created, Date: call.Date()}, nil
	}
	v := Classify(call.Answer(reasonOf(err, false)))
	switch v.Outcome {
	case objstore.Exists:
		return objstore.PutResult{Outcome: v.Outcome, Date: call.Date()}, nil
	case objstore.Retry:
		return objstore.PutResult{Outcome: v.Outcome, Date: call.Date()}, call.Wrap(v, err)
	default:
		return objstore.PutResult{Outcome: objstore.Unknown}, call.Wrap(v, err)
	}
}

// checksum is the CRC-32C of body as the JSON API writes it.
func checksum(body []byte) string {
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := objstore.CheckKey(key); err != nil {
		return err
	}
	ctx, call := b.begin(ctx, "delete", key)
	defer call.End()
	err := b.objects.Delete(b.o.Bucket, key).Context(ctx).Do()
	if err == nil {
		return nil
	}
	v := Classify(call.Answer(reasonOf(err, true)))
	if errors.Is(v.Err, objstore.ErrNotFound) {
		return nil
	}
	return call.Wrap(v, err)
}

// again tries a read until it succeeds, is refused, or has had its attempts. try
// returns what the last answer's body said, and the error.
func (b *Bucket) again(ctx context.Context, call *httpx.Call, try func() (code string, err error)) error {
	pause := gax.Backoff{Initial: min(100*time.Millisecond, b.o.MaxBackoff), Max: b.o.MaxBackoff, Multiplier: 2}
	for n := 1; ; n++ {
		code, err := try()
		if err == nil {
			return nil
		}
		a := call.Answer(code)
		if n >= b.o.ReadAttempts || !httpx.ReadAgain(a) || gax.Sleep(ctx, pause.Pause()) != nil {
			return call.Wrap(Classify(a), err)
		}
	}
}
