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
//	             Created   Exists                Retry                  Unknown
//	S3           200       412                   409, 429, 503          other 5xx, timeout, reset
//	file         linkat    EEXIST                -                      fsync of the directory failed
//	memory       inserted  present               -                      -
//
// The acceptance suite in objstoretest holds every driver to this text.
package objstore
