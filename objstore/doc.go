// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package objstore is the one door to object storage. Everything that salvor
// and a store keep in a root goes through [Bucket]: get, get a range, list,
// put if absent, delete. There is no overwrite.
//
// # The life of one object
//
//	PutIfAbsent("manifest/00000000000000000042", bytes, attempt)
//	        |
//	        +-- Created   it is there, complete, durable, and it is ours
//	        +-- Exists    the key was taken; the bytes there were not changed
//	        +-- Retry     nothing landed (throttled, a conflicting request in
//	        |             flight): send the same bytes again
//	        +-- Unknown   the answer was lost: it may be there, it may land
//	                      later, it may never: read the key, never guess
//
// A driver sends one request for one PutIfAbsent. Retries of an SDK are off for
// it: a request that was applied and whose answer was lost would come back from
// the second attempt as Exists, which is a false conflict.
//
// # Provider answers, translated once
//
// At the edge, by a table per provider; nothing above a driver knows a code.
//
//	             Created   Exists                   Retry: proven that nothing landed       Unknown: all else
//	S3           200       412                      409, 429, 503 SlowDown, 3xx, 400,       other 5xx, timeout, reset,
//	                                                401, 403, 404; no connection            a proxy's 503
//	GCS          200       412 conditionNotMet      409, 429, 3xx, 400, 401, 403, 404,      every 5xx, timeout, reset,
//	                                                412 of a policy; no connection          any other 412
//	Azure        201       409 BlobAlreadyExists,   every other 409, 429, 3xx, 400, 401,    every 5xx, timeout, reset,
//	                       412 ConditionNotMet      403, 404; no connection                 any other 412
//	file         linkat    EEXIST                   an error before linkat (ENOSPC, ...)    fsync of the directory failed
//	memory       inserted  present                  -                                       -
//
// The same code means opposite things: 409 is a taken key on Azure and a request in
// flight on S3. The packages s3, gcs and azblob have the tables in full.
//
// Retry is a proof, not a promise that it will work: with ErrAccessDenied or
// ErrNoSuchBucket a person has to act first. A caller bounds its tries.
//
// The acceptance suite in objstoretest holds every driver to this text; Probe asks
// a store that somebody else runs.
package objstore
