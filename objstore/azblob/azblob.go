// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
)

// attemptMetadata is the blob's metadata that holds the attempt id, on the wire
// x-ms-meta-salvorattempt.
const attemptMetadata = "salvorattempt"

// Bucket is a container of Azure Blob Storage. Safe for concurrent use.
type Bucket struct {
	o     Options
	where string // for messages: "azblob://container at endpoint"
	http  *http.Client

	federated azcore.TokenCredential // one for both clients, so that each token is exchanged once

	mu    sync.Mutex
	given given
	to    *clients
}

// clients are those of the SDK for one set of credentials.
type clients struct {
	once  *container.Client // sends once: puts and deletes
	again *container.Client // reads and listings
}

var _ objstore.Bucket = (*Bucket)(nil)

// Open returns the bucket. Nothing is sent to it: whether the container is there
// and keeps its promises is what objstore.Probe finds out.
func Open(_ context.Context, o Options) (*Bucket, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	client, err := httpx.NewClient(o.Limits, o.CA)
	if err != nil {
		return nil, fmt.Errorf("azblob: %w", err)
	}
	b := &Bucket{o: o, where: "azblob://" + o.Container, http: client}
	switch {
	case o.Endpoint != "":
		b.where += " at " + o.Endpoint
	case o.Account != "":
		b.where += " in " + o.Account
	}
	if o.Federation != nil {
		if b.federated, err = o.Federation.credential(client); err != nil {
			return nil, fmt.Errorf("azblob: %w", err)
		}
	}
	// A Secret that is not mounted yet is no reason to fail here; all else is.
	if _, err := b.clients(); err != nil && o.CredentialsDir == "" {
		return nil, fmt.Errorf("azblob: %w", err)
	}
	return b, nil
}

// clients returns those for the credentials that are given now.
func (b *Bucket) clients() (*clients, error) {
	g, err := b.o.credentials()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.to != nil && g == b.given {
		return b.to, nil
	}
	once := policy.RetryOptions{MaxRetries: -1}
	again := policy.RetryOptions{MaxRetries: int32(b.o.ReadAttempts - 1), RetryDelay: min(100*time.Millisecond, b.o.MaxBackoff), MaxRetryDelay: b.o.MaxBackoff}
	if b.o.ReadAttempts == 1 {
		again.MaxRetries = -1 // zero is the SDK's default
	}
	to := &clients{}
	if to.once, err = b.o.open(g, b.options(once), b.identity); err != nil {
		return nil, err
	}
	if to.again, err = b.o.open(g, b.options(again), b.identity); err != nil {
		return nil, err
	}
	b.given, b.to = g, to
	return to, nil
}

func (b *Bucket) options(retry policy.RetryOptions) *container.ClientOptions {
	return &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: httpx.Observer{Client: b.http}, Retry: retry, Telemetry: policy.TelemetryOptions{ApplicationID: "salvor"},
	}}
}

// identity asks for tokens past the observer: what it sends is no part of a call.
func (b *Bucket) identity() (azcore.TokenCredential, error) {
	if b.federated != nil {
		return b.federated, nil
	}
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: b.http}})
}

// Close implements objstore.Bucket.
func (b *Bucket) Close() error {
	b.http.CloseIdleConnections()
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
	err := b.put(ctx, key, body, attempt)
	if err == nil {
		return objstore.PutResult{Outcome: objstore.Created, Date: call.Date()}, nil
	}
	v, err := fail(call, err)
	switch v.Outcome {
	case objstore.Exists:
		return objstore.PutResult{Outcome: v.Outcome, Date: call.Date()}, nil
	case objstore.Retry:
		return objstore.PutResult{Outcome: v.Outcome, Date: call.Date()}, err
	default:
		return objstore.PutResult{Outcome: objstore.Unknown}, err
	}
}

func (b *Bucket) put(ctx context.Context, key string, body []byte, attempt string) error {
	to, err := b.clients()
	if err != nil {
		return err
	}
	any, octets, id := azcore.ETagAny, "application/octet-stream", url.PathEscape(attempt)
	_, err = to.once.NewBlockBlobClient(key).Upload(ctx, streaming.NopCloser(bytes.NewReader(body)), &blockblob.UploadOptions{
		AccessConditions:        &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: &any}},
		HTTPHeaders:             &blob.HTTPHeaders{BlobContentType: &octets},
		Metadata:                map[string]*string{attemptMetadata: &id},
		TransactionalValidation: blob.TransferValidationTypeComputeCRC64(),
	})
	return err
}

// Delete implements objstore.Bucket.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := objstore.CheckKey(key); err != nil {
		return err
	}
	ctx, call := b.begin(ctx, "delete", key)
	defer call.End()
	to, err := b.clients()
	if err == nil {
		snapshots := blob.DeleteSnapshotsOptionTypeInclude // else a blob that somebody took one of stays
		_, err = to.once.NewBlobClient(key).Delete(ctx, &blob.DeleteOptions{DeleteSnapshots: &snapshots})
	}
	if err == nil {
		return nil
	}
	if _, err = fail(call, err); errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	return err
}

// fail says what an error of the SDK means: the verdict, and the error with the
// verb, the key and what to do next.
func fail(call *httpx.Call, err error) (httpx.Verdict, error) {
	var r *azcore.ResponseError
	code := ""
	if errors.As(err, &r) {
		code = r.ErrorCode
		err = refusal{r}
	}
	v := Classify(call.Answer(code))
	return v, call.Wrap(v, err)
}

// refusal is an answer of Azure in one line; the SDK prints it in ten.
type refusal struct{ *azcore.ResponseError }

// Error implements error.
func (r refusal) Error() string { return fmt.Sprintf("%d %s", r.StatusCode, r.ErrorCode) }

// Unwrap returns the SDK's error.
func (r refusal) Unwrap() error { return r.ResponseError }
