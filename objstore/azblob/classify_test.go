// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob

import (
	"errors"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
	"github.com/salvor-io/salvor/test/contract"
)

// TestClassify is the table of the package, written a second time by hand.
func TestClassify(t *testing.T) {
	contract.Row(t, 126)
	for _, c := range []struct {
		status int // 0: no answer
		code   string
		want   objstore.Outcome
		err    error
	}{
		// Only these prove that the key was taken.
		{409, "BlobAlreadyExists", objstore.Exists, nil},
		{412, "ConditionNotMet", objstore.Exists, nil},

		// Proven: nothing landed.
		{409, "ContainerBeingDeleted", objstore.Retry, objstore.ErrNoSuchBucket},
		{409, "ContainerDisabled", objstore.Retry, objstore.ErrAccessDenied},
		{409, "BlobImmutableDueToPolicy", objstore.Retry, nil},
		{409, "BlobArchived", objstore.Retry, nil},
		{409, "SnapshotsPresent", objstore.Retry, nil},
		{409, "", objstore.Retry, nil},
		{429, "TooManyRequests", objstore.Retry, nil},
		{403, "AuthenticationFailed", objstore.Retry, objstore.ErrAccessDenied},
		{403, "AuthorizationPermissionMismatch", objstore.Retry, objstore.ErrAccessDenied},
		{403, "AuthorizationFailure", objstore.Retry, objstore.ErrAccessDenied},
		{401, "InvalidAuthenticationInfo", objstore.Retry, objstore.ErrAccessDenied},
		{404, "ContainerNotFound", objstore.Retry, objstore.ErrNoSuchBucket},
		{404, "BlobNotFound", objstore.Retry, objstore.ErrNotFound},
		{404, "ResourceNotFound", objstore.Retry, nil},
		{404, "", objstore.Retry, nil}, // a proxy's
		{400, "InvalidHeaderValue", objstore.Retry, nil},
		{400, "Md5Mismatch", objstore.Retry, nil},
		{413, "RequestBodyTooLarge", objstore.Retry, nil},
		{307, "", objstore.Retry, nil},

		// Everything else: it may be there.
		{0, "", objstore.Unknown, nil}, // reset, timeout
		{412, "LeaseIdMissing", objstore.Unknown, nil},
		{412, "", objstore.Unknown, nil},
		{408, "", objstore.Unknown, nil},
		{500, "InternalError", objstore.Unknown, nil},
		{500, "OperationTimedOut", objstore.Unknown, nil},
		{502, "", objstore.Unknown, nil},
		{503, "ServerBusy", objstore.Unknown, nil},
		{503, "", objstore.Unknown, nil},
		{504, "", objstore.Unknown, nil},
		{201, "", objstore.Unknown, nil}, // the end of a good answer was lost
		{304, "ConditionNotMet", objstore.Unknown, nil},
	} {
		got := Classify(httpx.Answer{Sent: true, Status: c.status, Code: c.code})
		if got.Outcome != c.want || !errors.Is(got.Err, c.err) {
			t.Errorf("%d %s: %v, %v; want %v, %v", c.status, c.code, got.Outcome, got.Err, c.want, c.err)
		}
		if (errors.Is(c.err, objstore.ErrAccessDenied) || errors.Is(c.err, objstore.ErrNoSuchBucket)) && got.Hint == "" {
			t.Errorf("%d %s: no hint what to do next", c.status, c.code)
		}
	}
	if got := Classify(httpx.Answer{}).Outcome; got != objstore.Retry {
		t.Errorf("never connected: %v", got)
	}
}

// Two pairs of status and code are Exists, and no 2xx and no 5xx is a proof.
func TestClassifyClaimsNothingElse(t *testing.T) {
	contract.Row(t, 126)
	for status := 100; status < 600; status++ {
		for _, code := range []string{"", "BlobAlreadyExists", "ConditionNotMet", "conditionNotMet", "PreconditionFailed", "BlobNotFound", "ServerBusy"} {
			got := Classify(httpx.Answer{Sent: true, Status: status, Code: code}).Outcome
			if got == objstore.Created || got == objstore.OutcomeInvalid {
				t.Errorf("%d %s: %v", status, code, got)
			}
			taken := status == 409 && code == "BlobAlreadyExists" || status == 412 && code == "ConditionNotMet"
			if (got == objstore.Exists) != taken {
				t.Errorf("%d %s: %v", status, code, got)
			}
			if got == objstore.Retry && (status < 300 || status >= 500) {
				t.Errorf("%d %s: Retry", status, code)
			}
		}
	}
}
