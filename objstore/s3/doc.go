// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package s3 is an object store in a bucket of S3 or of a server that speaks its
// protocol, over the AWS SDK for Go v2.
//
// # One call, one request
//
//	Get, GetRange   GetObject        up to ReadAttempts times
//	List            ListObjectsV2    per 1000 entries, up to ReadAttempts times
//	PutIfAbsent     PutObject with If-None-Match: *      once
//	Delete          DeleteObject                         once
//
// What writes is sent once. A put that was applied, whose answer was lost and
// that somebody sends again comes back as "exists": a conflict with oneself. A
// delete that is sent again may remove what was created in between. So these two
// go through a client of their own whose retryer does nothing, by PutObject and
// not by the transfer manager, which splits and repeats, and over HTTP/1.1: an
// HTTP/2 connection sends a request again by itself when the peer goes away.
// net/http repeats a PUT or DELETE only when not one byte of it was written.
//
// Each attempt leaves an id in the metadata of the object (x-amz-meta-salvor-attempt)
// for people who look into a bucket. No code decides by it.
//
// The SHA-256 of the body is signed, so that the server checks what it received.
// The SDK's newer checksums are left out where S3 does not ask for them: they
// travel as trailers, which many servers and proxies do not know.
//
// # What answers mean
//
// For a conditional put, by status and code (classify.go is this table):
//
//	Created   200
//	Exists    412
//	Retry     no connection, no credentials; 409; 429; 503 SlowDown; 401; 403; 404;
//	          3xx; 400, 405, 411, 413, 414, 417, 431; 501 NotImplemented
//	Unknown   all else: timeout, reset, 408, 500, 502, 504, every other 503, a 200
//	          with an error in it or whose end was lost
//
// 409 is a conflicting request in flight, and says not who will win; on Azure it is
// a key that was taken, which is why each provider has a table of its own. SlowDown
// is S3's own door, nothing came in; any other 503 may come from a proxy whose
// server had begun.
package s3
