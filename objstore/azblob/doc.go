// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package azblob is an object store in a container of Azure Blob Storage, over
// the Azure SDK for Go.
//
// # One call, one request
//
//	Get, GetRange   Get Blob       up to ReadAttempts times
//	List            List Blobs     per 5000 entries, up to ReadAttempts times
//	PutIfAbsent     Put Blob with If-None-Match: *     once
//	Delete          Delete Blob                        once
//
// What writes goes through a pipeline of its own whose retries are off, as one
// block blob and not by the SDK's upload helpers, which split and repeat, and over
// HTTP/1.1. One exception is the SDK's and harmless: with a token, an answer 401
// that asks for another one is followed by the same request with that; a 401
// proves that nothing landed.
//
// The body's CRC-64 goes with a put, so that the server checks what it received.
// Each attempt leaves an id in the metadata of the blob (salvorattempt: names have
// no hyphen there) for people who look into a container. No code decides by it.
//
// # What answers mean
//
// For a conditional put, by status and x-ms-error-code (classify.go is this table):
//
//	Created   201
//	Exists    409 BlobAlreadyExists, 412 ConditionNotMet
//	Retry     no connection, no token; every other 409; 429; 401; 403; 404; 3xx;
//	          400, 405, 411, 413, 414, 417, 431
//	Unknown   all else: timeout, reset, 408, 412 without that code,
//	          500 InternalError, 500 OperationTimedOut, 503 ServerBusy, 502, 504
//
// 409 is what a taken key is on Azure, and a conflict in flight on S3: that is why
// each provider has a table of its own. Of OperationTimedOut Azure says that the
// operation may have succeeded; of ServerBusy it says neither, so that is Unknown,
// too.
//
// Accounts with a hierarchical namespace (Data Lake) list directories among the
// blobs and in another order; List refuses such an answer.
//
// Given credentials (a key, a connection string, a mounted Secret, Federation) are
// used and nothing else: the environment and the chain of this process count only
// where there are none.
package azblob
