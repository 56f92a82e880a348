// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package control is what a store pod and the operator say to each other:
//
//	operator                                         store pod
//	   |  GET /control/v1/stream?heartbeat=1s            |
//	   |------------------------------------------------>|
//	   |  {"writer":"ledger-0","process":"01K..", ...}   |  at once
//	   |<------------------------------------------------|
//	   |  {... "open":["01KA"]}                          |  at once when something changes
//	   |<------------------------------------------------|
//	   |  {... "durable":812}                            |  at least every heartbeat
//	   |<------------------------------------------------|
//	   |  FIN or RST                                     x  SIGKILL: the kernel says so, at once
//	   |<------------------------------------------------
//	   |  (nothing for two heartbeats)                      the node is gone, or the network
//
//	GET  /control/v1/status    one line, the same as in the stream
//	POST /control/v1/refresh   "read the manifest now": 202, and no promise;
//	                           ?order=ID: and orders/WRITER/ID in the root
//
// # No authority
//
// Freeze, thaw and fence are publications in the manifest, and what is asked of one
// process is an object in the root; who may write there rules.
// Whoever forges one of these calls makes a pod look, or learns positions and
// ids. That is why the three calls need no credentials, and why nothing may be
// added here that changes a store.
//
// # A stream is evidence, not proof
//
// A closed stream makes its reader suspect the process; the fence in the manifest
// makes it safe to act, whether or not the guess was right. A stream is evidence
// about a writer only while Status.Process and Status.Epoch are the ones that the
// manifest has registered.
//
// # Why the client is written by hand
//
// An operator keeps a stream to every pod. One through net/http's client costs
// about 32 KiB, mostly buffers and two goroutines of a transport; [Dial] reads the
// connection with the caller's goroutine and small buffers. It takes what an
// HTTP/1.1 server or a proxy answers: a chunked or a plain body, cut anywhere.
package control
