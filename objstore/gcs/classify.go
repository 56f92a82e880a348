// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/api/googleapi"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
)

// Hints, in the words of somebody who can act on them.
const (
	hintDenied   = "check the credentials and that their role has storage.objects.get, storage.objects.list, storage.objects.create and storage.objects.delete here; without storage.objects.list an absent key is refused, too"
	hintToken    = "the credentials are not valid there: correct the key, or the clock of this host, which dates its tokens"
	hintBucket   = "create the bucket, or correct its name or the endpoint"
	hintNotGCS   = "this is no answer of Cloud Storage: correct the endpoint, or the proxy before it"
	hintElse     = "something on the way redirects: correct the endpoint"
	hintTooLarge = "a proxy on the way refuses bodies of this size: raise its limit to 9 MiB"
	hintPolicy   = "a policy of the organisation refuses the write"
	hintRate     = "too many requests for this bucket or key: slow down"
)

// Words of this driver for a 404, where the JSON API has one for both.
const (
	noSuchKey    = "NoSuchKey"
	noSuchBucket = "NoSuchBucket"
)

// answers is the whole translation. Exists and Retry are claims about the object
// and stand here only where the answer proves them.
var answers = httpx.Table{
	{Status: http.StatusPreconditionFailed, Code: "conditionNotMet", Verdict: httpx.Verdict{Outcome: objstore.Exists}},
	{Status: http.StatusPreconditionFailed, Code: "orgPolicyConstraintFailed", Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintPolicy}},

	{Status: http.StatusTooManyRequests, Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintRate}},
	{Status: http.StatusConflict, Verdict: httpx.Verdict{Outcome: objstore.Retry}},

	{Status: http.StatusForbidden, Code: "rateLimitExceeded", Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintRate}},
	{Status: http.StatusForbidden, Code: "userRateLimitExceeded", Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintRate}},
	{Status: http.StatusForbidden, Verdict: httpx.Verdict{Outcome: objstore.Retry, Err: objstore.ErrAccessDenied, Hint: hintDenied}},
	{Status: http.StatusUnauthorized, Verdict: httpx.Verdict{Outcome: objstore.Retry, Err: objstore.ErrAccessDenied, Hint: hintToken}},

	{Status: http.StatusNotFound, Code: noSuchBucket, Verdict: httpx.Verdict{Outcome: objstore.Retry, Err: objstore.ErrNoSuchBucket, Hint: hintBucket}},
	{Status: http.StatusNotFound, Code: noSuchKey, Verdict: httpx.Verdict{Outcome: objstore.Retry, Err: objstore.ErrNotFound}},
	// Any other 404 is not Google's word about the key, and never "absent".
	{Status: http.StatusNotFound, Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintNotGCS}},

	{Status: http.StatusMovedPermanently, Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintElse}},
	{Status: http.StatusFound, Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintElse}},
	{Status: http.StatusTemporaryRedirect, Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintElse}},
	{Status: http.StatusPermanentRedirect, Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintElse}},

	// Refused for what the request is.
	{Status: http.StatusBadRequest, Verdict: httpx.Verdict{Outcome: objstore.Retry}},
	{Status: http.StatusMethodNotAllowed, Verdict: httpx.Verdict{Outcome: objstore.Retry}},
	{Status: http.StatusLengthRequired, Verdict: httpx.Verdict{Outcome: objstore.Retry}},
	{Status: http.StatusRequestEntityTooLarge, Verdict: httpx.Verdict{Outcome: objstore.Retry, Hint: hintTooLarge}},
	{Status: http.StatusRequestURITooLong, Verdict: httpx.Verdict{Outcome: objstore.Retry}},
	{Status: http.StatusExpectationFailed, Verdict: httpx.Verdict{Outcome: objstore.Retry}},
	{Status: http.StatusRequestHeaderFieldsTooLarge, Verdict: httpx.Verdict{Outcome: objstore.Retry}},
}

// Classify says what a request that did not succeed came to. It is a pure
// function and the only place that knows provider codes. a.Code is what Reason
// found.
func Classify(a httpx.Answer) httpx.Verdict { return answers.Classify(a) }

// Reason finds Google's word for an error in the body of an answer: the reason
// of the JSON API, or the code of the XML API. "" when it is neither's: a proxy
// spoke. The JSON API's notFound becomes NoSuchKey or NoSuchBucket; aboutKey says
// that the request named an object that may be absent, and else only the bucket
// can be.
func Reason(status int, body []byte, aboutKey bool) string {
	var x struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
	}
	if xml.Unmarshal(body, &x) == nil {
		return x.Code
	}
	var j struct {
		Error struct {
			Message string
			Errors  []struct{ Reason string }
		}
	}
	if json.Unmarshal(body, &j) != nil || len(j.Error.Errors) == 0 {
		return ""
	}
	reason := j.Error.Errors[0].Reason
	switch {
	case status != http.StatusNotFound || reason != "notFound":
		return reason
	case !aboutKey || strings.Contains(strings.ToLower(j.Error.Message), "bucket does not exist"):
		return noSuchBucket
	default:
		return noSuchKey
	}
}

// reasonOf is Reason of an error of the JSON client.
func reasonOf(err error, aboutKey bool) string {
	var g *googleapi.Error
	if !errors.As(err, &g) {
		return ""
	}
	return Reason(g.Code, []byte(g.Body), aboutKey)
}
