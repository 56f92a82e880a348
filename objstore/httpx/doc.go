// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package httpx is what the drivers that speak HTTP share: the limits of a
// request, the client that sends one once, what the wire saw of it, and the way
// from an answer to an outcome.
//
// # The life of one request
//
//	driver ---> SDK ---> Observer ---> http.Client of NewClient ---> store
//	                        |               once, HTTP/1.1, no redirect,
//	                        |               no gzip, proxy of the environment
//	                        v
//	                 Call: was there a connection? which status, whose date?
//	                        |
//	                        v
//	      Table.Classify(Answer{Sent, Status, Code}) = Verdict
//
// An error of an SDK does not say reliably whether a byte was sent. The observer
// does, and so "nothing landed" is claimed only for a request that had no
// connection or whose answer the provider's table knows.
package httpx
