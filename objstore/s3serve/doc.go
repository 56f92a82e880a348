// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package s3serve answers S3 requests out of any [objstore.Bucket], on loopback:
// the door through which a program in any language, with any S3 client, works on
// a root while somebody watches each request, refuses it, or loses its answer.
//
// # The life of one request
//
//	PUT /root/manifest/…42                any S3 client
//	  If-None-Match: *
//	        |
//	   parse        path style; aws-chunked bodies are taken apart
//	        |       *Request{Put, "manifest/…42", body, IfAbsent}
//	   your Func    look, refuse, wait, kill; call the next one, or not
//	        |
//	   Bucket       the objstore.Bucket behind: Created 200, Exists 412,
//	        |       Retry 503 SlowDown, Unknown: no answer
//	        |       *Response
//	   answer       XML as S3 writes it, or, for Lost, the connection ends
//
// It knows what salvor's protocol needs: put if absent, get, get a range, list
// (version 2), delete, head. Everything else is 501 NotImplemented, and so is a
// put without a condition: nothing in a root is ever overwritten.
//
// Signatures are not checked: it listens on loopback and ends with its test. It is
// no S3 server to keep data behind.
package s3serve
