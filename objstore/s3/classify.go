// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"net/http"

	"github.com/salvor-io/salvor/objstore"
)

// Answer is what is known of one request that did not succeed.
type Answer struct {
	// Sent: a connection was there, so bytes may have left.
	Sent bool
	// Status is the HTTP status; 0 when no answer came.
	Status int
	// Code is the error code in the body, as in <Code>SlowDown</Code>. "" when
	// the body is not the XML of S3: a proxy spoke.
	Code string
}

// Verdict is what the answer means.
type Verdict struct {
	// Outcome is that of a conditional put.
	Outcome objstore.Outcome
	// Err is a sentinel of objstore, for every verb; nil when there is none.
	Err error
	// Hint says what to do next; "" when the error speaks for itself.
	Hint string
}

// Hints, in the words of somebody who can act on them.
const (
	hintDenied    = "check the credentials and that their policy allows s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket here; without s3:ListBucket an absent key is refused, too"
	hintKey       = "the access key id is not known there: correct the credentials"
	hintSignature = "the secret key is wrong, or a proxy on the way changed what was signed"
	hintClock     = "the clock of this host and that of the server differ: set the clock"
	hintBucket    = "create the bucket, or correct its name or the endpoint"
	hintDirectory = "if it goes on: one key is a directory of another, which this server cannot keep"
	hintNotS3     = "this is no answer of an S3 server: correct the endpoint, or the proxy before it"
	hintRegion    = "the bucket is elsewhere: correct the region or the endpoint"
	hintTooLarge  = "a proxy on the way refuses bodies of this size: raise its limit to 9 MiB"
	hintCondition = "the server does not know If-None-Match on a put: salvor needs conditional writes"
)

// answers is the whole translation: the first row that fits counts. A status or a
// code that is not given fits all.
//
// Exists and Retry are claims about the object and stand here only where the
// answer proves them. 503 shows the difference: SlowDown is S3's own door, nothing
// came in; any other 503 may come from a proxy whose server had begun.
var answers = []struct {
	status int
	code   string
	Verdict
}{
	{http.StatusPreconditionFailed, "", Verdict{Outcome: objstore.Exists}},

	// The other of two requests in flight; neither says who will win.
	{http.StatusConflict, "ConditionalRequestConflict", Verdict{Outcome: objstore.Retry}},
	{http.StatusConflict, "OperationAborted", Verdict{Outcome: objstore.Retry}},
	// Servers on a file system, when one key is a directory of another. Not
	// ErrInvalidKey: versitygw also says it of a directory that a delete in
	// flight is just tidying up, and the next try succeeds.
	{http.StatusConflict, "ObjectParentIsFile", Verdict{objstore.Retry, nil, hintDirectory}},
	{http.StatusConflict, "ExistingObjectIsDirectory", Verdict{objstore.Retry, nil, hintDirectory}},
	{http.StatusConflict, "", Verdict{Outcome: objstore.Retry}},

	{http.StatusTooManyRequests, "", Verdict{Outcome: objstore.Retry}},
	{http.StatusServiceUnavailable, "SlowDown", Verdict{Outcome: objstore.Retry}},

	{http.StatusForbidden, "RequestTimeTooSkewed", Verdict{objstore.Retry, nil, hintClock}},
	{http.StatusForbidden, "InvalidAccessKeyId", Verdict{objstore.Retry, objstore.ErrAccessDenied, hintKey}},
	{http.StatusForbidden, "SignatureDoesNotMatch", Verdict{objstore.Retry, objstore.ErrAccessDenied, hintSignature}},
	{http.StatusForbidden, "", Verdict{objstore.Retry, objstore.ErrAccessDenied, hintDenied}},
	{http.StatusUnauthorized, "", Verdict{objstore.Retry, objstore.ErrAccessDenied, hintDenied}},

	{http.StatusNotFound, "NoSuchBucket", Verdict{objstore.Retry, objstore.ErrNoSuchBucket, hintBucket}},
	{http.StatusNotFound, "NoSuchKey", Verdict{objstore.Retry, objstore.ErrNotFound, ""}},
	// Any other 404 is not S3's word about the key, and never "absent".
	{http.StatusNotFound, "", Verdict{objstore.Retry, nil, hintNotS3}},

	{http.StatusMovedPermanently, "", Verdict{objstore.Retry, nil, hintRegion}},
	{http.StatusFound, "", Verdict{objstore.Retry, nil, hintRegion}},
	{http.StatusTemporaryRedirect, "", Verdict{objstore.Retry, nil, hintRegion}},
	{http.StatusPermanentRedirect, "", Verdict{objstore.Retry, nil, hintRegion}},
	{http.StatusBadRequest, "AuthorizationHeaderMalformed", Verdict{objstore.Retry, nil, hintRegion}},
	{http.StatusBadRequest, "NotImplemented", Verdict{objstore.Retry, nil, hintCondition}},
	{http.StatusNotImplemented, "NotImplemented", Verdict{objstore.Retry, nil, hintCondition}},

	// Refused for what the request is.
	{http.StatusBadRequest, "", Verdict{Outcome: objstore.Retry}},
	{http.StatusMethodNotAllowed, "", Verdict{Outcome: objstore.Retry}},
	{http.StatusLengthRequired, "", Verdict{Outcome: objstore.Retry}},
	{http.StatusRequestEntityTooLarge, "", Verdict{objstore.Retry, nil, hintTooLarge}},
	{http.StatusRequestURITooLong, "", Verdict{Outcome: objstore.Retry}},
	{http.StatusExpectationFailed, "", Verdict{Outcome: objstore.Retry}},
	{http.StatusRequestHeaderFieldsTooLarge, "", Verdict{Outcome: objstore.Retry}},
}

// Classify says what a request that did not succeed came to. It is a pure
// function and the only place that knows provider codes.
func Classify(a Answer) Verdict {
	if !a.Sent && a.Status == 0 {
		return Verdict{Outcome: objstore.Retry}
	}
	for _, row := range answers {
		if row.status == a.Status && (row.code == "" || row.code == a.Code) {
			return row.Verdict
		}
	}
	// Every other 5xx, a timeout, a reset, a 200 whose end was lost.
	return Verdict{Outcome: objstore.Unknown}
}
