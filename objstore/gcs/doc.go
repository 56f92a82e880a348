// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package gcs is an object store in a bucket of Google Cloud Storage, over
// Google's own JSON client (google.golang.org/api/storage/v1) and, for reads, the
// XML API. Why not over cloud.google.com/go/storage: docs/adr/0007.
//
// # One call, one request
//
//	Get, GetRange   GET  /bucket/key                       up to ReadAttempts times
//	List            GET  /storage/v1/b/bucket/o            per 1000 entries, up to ReadAttempts times
//	PutIfAbsent     POST /upload/storage/v1/b/bucket/o     once
//	                     ?uploadType=multipart&ifGenerationMatch=0
//	Delete          DELETE /storage/v1/b/bucket/o/key      once
//
// What writes is sent once: no retry of the SDK, no upload in chunks (which has
// retries of its own that no option turns off), HTTP/1.1. Reads go to the XML API
// because it tells an absent key (NoSuchKey) from an absent bucket (NoSuchBucket)
// and says when the object was made; the JSON API says "notFound" for both. A 404
// that has neither code is asked again by a listing of the one key: an absent
// object is never a proxy's opinion.
//
// The body's CRC-32C goes with a put, so that the server checks what it received.
// Each attempt leaves an id in the metadata of the object (salvor-attempt) for
// people who look into a bucket. No code decides by it.
//
// # What answers mean
//
// For a conditional put, by status and reason (classify.go is this table):
//
//	Created   200
//	Exists    412 conditionNotMet
//	Retry     no connection, no token; 429; 409; 401; 403; 404; 3xx; 400, 405, 411,
//	          413, 414, 417, 431; 412 orgPolicyConstraintFailed
//	Unknown   all else: timeout, reset, 408, 412 without a reason, 500, 502, 503, 504
//
// 503 is Unknown whatever its reason: Google's words are "try again later", and
// none say that nothing was stored. 412 has a second reason, a policy of the
// organisation that refuses the write; it proves the opposite of Exists.
//
// # Credentials
//
// A given key of a service account signs its own tokens: no request to a token
// server, and none to an address that the key names. Other kinds of credential
// files are refused when they are given, because they can make this process read
// files and call addresses of their author's choice; the chain takes them, from
// this process's own environment. Tokens of another issuer are exchanged by
// Federation, at Google's own addresses unless the caller names another.
package gcs
