// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3

import (
	"errors"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/test/contract"
)

// TestClassify is the table of the package objstore, written a second time by hand.
func TestClassify(t *testing.T) {
	contract.Row(t, 125)
	contract.Row(t, 126)
	for _, c := range []struct {
		answer Answer
		want   objstore.Outcome
		err    error
	}{
		// Only this proves that the key was taken.
		{Answer{true, 412, "PreconditionFailed"}, objstore.Exists, nil},
		{Answer{true, 412, ""}, objstore.Exists, nil},

		// Proven: nothing landed.
		{Answer{true, 409, "ConditionalRequestConflict"}, objstore.Retry, nil},
		{Answer{true, 409, "OperationAborted"}, objstore.Retry, nil},
		{Answer{true, 409, "Conflict"}, objstore.Retry, nil},
		{Answer{true, 409, "ObjectParentIsFile"}, objstore.Retry, nil},
		{Answer{true, 409, "ExistingObjectIsDirectory"}, objstore.Retry, nil},
		{Answer{true, 429, "TooManyRequests"}, objstore.Retry, nil},
		{Answer{true, 503, "SlowDown"}, objstore.Retry, nil},
		{Answer{true, 400, "RequestTimeout"}, objstore.Retry, nil},
		{Answer{true, 400, "InvalidArgument"}, objstore.Retry, nil},
		{Answer{true, 400, "AuthorizationHeaderMalformed"}, objstore.Retry, nil},
		{Answer{true, 413, ""}, objstore.Retry, nil},
		{Answer{true, 501, "NotImplemented"}, objstore.Retry, nil},
		{Answer{true, 301, "PermanentRedirect"}, objstore.Retry, nil},
		{Answer{true, 307, "TemporaryRedirect"}, objstore.Retry, nil},
		{Answer{true, 403, "RequestTimeTooSkewed"}, objstore.Retry, nil},
		{Answer{true, 403, "AccessDenied"}, objstore.Retry, objstore.ErrAccessDenied},
		{Answer{true, 403, "SignatureDoesNotMatch"}, objstore.Retry, objstore.ErrAccessDenied},
		{Answer{true, 403, "InvalidAccessKeyId"}, objstore.Retry, objstore.ErrAccessDenied},
		{Answer{true, 401, "Unauthorized"}, objstore.Retry, objstore.ErrAccessDenied},
		{Answer{true, 404, "NoSuchBucket"}, objstore.Retry, objstore.ErrNoSuchBucket},
		{Answer{true, 404, "NoSuchKey"}, objstore.Retry, objstore.ErrNotFound},
		{Answer{true, 404, "NotFound"}, objstore.Retry, nil}, // a proxy's, not S3's
		{Answer{false, 0, ""}, objstore.Retry, nil},          // never connected

		// Everything else: it may be there.
		{Answer{true, 0, ""}, objstore.Unknown, nil}, // reset, timeout
		{Answer{true, 500, "InternalError"}, objstore.Unknown, nil},
		{Answer{true, 501, ""}, objstore.Unknown, nil},
		{Answer{true, 502, "BadGateway"}, objstore.Unknown, nil},
		{Answer{true, 503, "ServiceUnavailable"}, objstore.Unknown, nil}, // a proxy says so, too
		{Answer{true, 503, "SlowDownWrite"}, objstore.Unknown, nil},      // some copies may have been written
		{Answer{true, 503, ""}, objstore.Unknown, nil},
		{Answer{true, 504, "GatewayTimeout"}, objstore.Unknown, nil},
		{Answer{true, 408, "RequestTimeout"}, objstore.Unknown, nil},
		{Answer{true, 499, ""}, objstore.Unknown, nil},
		{Answer{true, 304, "NotModified"}, objstore.Unknown, nil},
		{Answer{true, 200, ""}, objstore.Unknown, nil}, // the end of a good answer was lost
		{Answer{true, 200, "InternalError"}, objstore.Unknown, nil},
		{Answer{true, 599, ""}, objstore.Unknown, nil},
		{Answer{true, 418, ""}, objstore.Unknown, nil},
	} {
		got := Classify(c.answer)
		if got.Outcome != c.want || !errors.Is(got.Err, c.err) {
			t.Errorf("%+v: %v, %v; want %v, %v", c.answer, got.Outcome, got.Err, c.want, c.err)
		}
		if (errors.Is(c.err, objstore.ErrAccessDenied) || errors.Is(c.err, objstore.ErrNoSuchBucket)) && got.Hint == "" {
			t.Errorf("%+v: no hint what to do next", c.answer)
		}
	}
}

// No status but 412 is ever Exists, and no 2xx and no 5xx but two rows is a proof.
func TestClassifyClaimsNothingElse(t *testing.T) {
	contract.Row(t, 125)
	contract.Row(t, 126)
	for status := 100; status < 600; status++ {
		for _, code := range []string{"", "PreconditionFailed", "NoSuchKey", "BlobAlreadyExists", "InternalError"} {
			got := Classify(Answer{true, status, code}).Outcome
			if got == objstore.Created || got == objstore.OutcomeInvalid {
				t.Errorf("%d %s: %v", status, code, got)
			}
			if got == objstore.Exists && status != 412 {
				t.Errorf("%d %s: Exists", status, code)
			}
			if got == objstore.Retry && (status < 300 || status >= 500) {
				t.Errorf("%d %s: Retry", status, code)
			}
		}
	}
}
