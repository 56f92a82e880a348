// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/salvor-io/salvor/objstore"
)

// attemptMetadata is the object's metadata that holds the attempt id, on the wire
// x-amz-meta-salvor-attempt.
const attemptMetadata = "salvor-attempt"

// Bucket is a bucket of S3. Safe for concurrent use.
type Bucket struct {
	o     Options
	where string // for messages: "s3://bucket at endpoint"

	once  *s3.Client // sends once: puts and deletes
	again *s3.Client // reads and listings
	http  *http.Client
}

var _ objstore.Bucket = (*Bucket)(nil)

// Open returns the bucket. Nothing is sent to it, though the SDK may ask its
// sources for a region: whether the bucket is there and keeps its promises is
// what objstore.Probe finds out.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	client, err := o.httpClient()
	if err != nil {
		return nil, err
	}
	cfg, err := o.config(ctx, client)
	if err != nil {
		return nil, err
	}
	b := &Bucket{o: o, where: "s3://" + o.Bucket, http: client}
	if o.Endpoint != "" {
		b.where += " at " + o.Endpoint
	}
	// The retryer of a shared configuration would win over the options below.
	cfg.Retryer, cfg.RetryMaxAttempts, cfg.RetryMode = nil, 0, ""
	b.once = s3.NewFromConfig(cfg, b.common, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
	b.again = s3.NewFromConfig(cfg, b.common, func(so *s3.Options) { so.Retryer = o.retryer() })
	return b, nil
}

func (b *Bucket) common(so *s3.Options) {
	so.HTTPClient = observer{b.http}
	so.UsePathStyle = b.o.PathStyle
	if b.o.Endpoint != "" {
		so.BaseEndpoint = aws.String(b.o.Endpoint)
	}
	so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	so.AppID = "salvor"
	so.Logger = logging.Nop{}
}

// Close implements objstore.Bucket.
func (b *Bucket) Close() error {
	b.http.CloseIdleConnections()
	return nil
}

// Get implements objstore.Bucket.
func (b *Bucket) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := objstore.CheckKey(key); err != nil {
		return objstore.Object{}, err
	}
	ctx, call := b.begin(ctx, "get", key)
	defer call.end()
	out, err := b.again.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.o.Bucket, Key: &key})
	if err != nil {
		_, err = call.fail(err)
		return objstore.Object{}, err
	}
	defer out.Body.Close()
	if err := objstore.CheckGet(key, aws.ToInt64(out.ContentLength)); err != nil {
		return objstore.Object{}, err
	}
	body, err := readAll(io.LimitReader(out.Body, objstore.MaxObject+1), aws.ToInt64(out.ContentLength))
	if err != nil {
		_, err = call.fail(err)
		return objstore.Object{}, err
	}
	if err := objstore.CheckGet(key, int64(len(body))); err != nil { // a server that does not say how long it is
		return objstore.Object{}, err
	}
	return objstore.Object{Key: key, Body: body, Modified: aws.ToTime(out.LastModified), Date: call.date()}, nil
}

// readAll reads a body of which size bytes were announced. One that ends early is
// an error of net/http.
func readAll(r io.Reader, size int64) ([]byte, error) {
	body := bytes.NewBuffer(make([]byte, 0, min(size, objstore.MaxObject)+bytes.MinRead))
	_, err := body.ReadFrom(r)
	return body.Bytes(), err
}

// farAway is beyond the end of every object: S3 ends at 50 TB, and sums of two
// such offsets do not overflow.
const farAway = math.MaxInt64 / 4

// GetRange implements objstore.Bucket.
func (b *Bucket) GetRange(ctx context.Context, key string, off, n int64) ([]byte, error) {
	if err := objstore.CheckRange(key, off, n); err != nil {
		return nil, err
	}
	off, n = min(off, farAway), min(n, farAway)
	ctx, call := b.begin(ctx, "get range", key)
	defer call.end()
	out, err := b.again.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.o.Bucket, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1)),
	})
	if call.status() == http.StatusRequestedRangeNotSatisfiable {
		return nil, nil // the object is there and ends before off
	}
	if err != nil {
		_, err = call.fail(err)
		return nil, err
	}
	defer out.Body.Close()
	if out.ContentRange == nil && off > 0 {
		if aws.ToInt64(out.ContentLength) == 0 {
			return nil, nil // an empty object has no ranges
		}
		return nil, call.wrap(Verdict{}, errors.New("the server does not know ranges"))
	}
	body, err := readAll(io.LimitReader(out.Body, n), min(n, aws.ToInt64(out.ContentLength)))
	if err != nil {
		_, err = call.fail(err)
		return nil, err
	}
	return body, nil
}

// PutIfAbsent implements objstore.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, key string, body []byte, attempt string) (objstore.PutResult, error) {
	if err := objstore.CheckPut(key, body); err != nil {
		return objstore.PutResult{Outcome: objstore.Retry}, err
	}
	ctx, call := b.begin(ctx, "put", key)
	defer call.end()
	_, err := b.once.PutObject(ctx, &s3.PutObjectInput{
		Bucket:      &b.o.Bucket,
		Key:         &key,
		Body:        bytes.NewReader(body),
		IfNoneMatch: aws.String("*"),
		ContentType: aws.String("application/octet-stream"),
		Metadata:    map[string]string{attemptMetadata: url.PathEscape(attempt)},
	}, signBody)
	if err == nil {
		return objstore.PutResult{Outcome: objstore.Created, Date: call.date()}, nil
	}
	switch outcome, err := call.fail(err); outcome {
	case objstore.Exists:
		return objstore.PutResult{Outcome: outcome, Date: call.date()}, nil
	case objstore.Retry:
		return objstore.PutResult{Outcome: outcome, Date: call.date()}, err
	default:
		return objstore.PutResult{Outcome: objstore.Unknown}, err
	}
}

// signBody has the SHA-256 of the body signed over TLS, too, where the SDK leaves
// it out: a proxy that ends TLS is between us and the store.
func signBody(so *s3.Options) {
	so.APIOptions = append(so.APIOptions, func(stack *middleware.Stack) error {
		hash := &v4.ComputePayloadSHA256{}
		_, err := stack.Finalize.Swap(hash.ID(), hash)
		return err
	})
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := objstore.CheckKey(key); err != nil {
		return err
	}
	ctx, call := b.begin(ctx, "delete", key)
	defer call.end()
	_, err := b.once.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.o.Bucket, Key: &key})
	if err == nil {
		return nil
	}
	if _, err = call.fail(err); errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	return err
}
