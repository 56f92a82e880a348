// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"errors"
	"fmt"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
	"github.com/salvor-io/salvor/test/contract"
)

// TestClassify is the table of the package, written a second time by hand.
func TestClassify(t *testing.T) {
	contract.Row(t, 126)
	for _, c := range []struct {
		answer httpx.Answer
		want   objstore.Outcome
		err    error
	}{
		// Only this proves that the key was taken.
		{httpx.Answer{Sent: true, Status: 412, Code: "conditionNotMet"}, objstore.Exists, nil},

		// Proven: nothing landed.
		{httpx.Answer{Sent: true, Status: 412, Code: "orgPolicyConstraintFailed"}, objstore.Retry, nil},
		{httpx.Answer{Sent: true, Status: 409, Code: "conflict"}, objstore.Retry, nil},
		{httpx.Answer{Sent: true, Status: 429, Code: "rateLimitExceeded"}, objstore.Retry, nil},
		{httpx.Answer{Sent: true, Status: 429, Code: ""}, objstore.Retry, nil},
		{httpx.Answer{Sent: true, Status: 403, Code: "rateLimitExceeded"}, objstore.Retry, nil},
		{httpx.Answer{Sent: true, Status: 403, Code: "userRateLimitExceeded"}, objstore.Retry, nil},
		{httpx.Answer{Sent: true, Status: 403, Code: "forbidden"}, objstore.Retry, objstore.ErrAccessDenied},
		{httpx.Answer{Sent: true, Status: 403, Code: "AccessDenied"}, objstore.Retry, objstore.ErrAccessDenied},
		{httpx.Answer{Sent: true, Status: 401, Code: "authError"}, objstore.Retry, objstore.ErrAccessDenied},
		{httpx.Answer{Sent: true, Status: 404, Code: "NoSuchBucket"}, objstore.Retry, objstore.ErrNoSuchBucket},
		{httpx.Answer{Sent: true, Status: 404, Code: "NoSuchKey"}, objstore.Retry, objstore.ErrNotFound},
		{httpx.Answer{Sent: true, Status: 404, Code: ""}, objstore.Retry, nil}, // a proxy's
		{httpx.Answer{Sent: true, Status: 400, Code: "invalid"}, objstore.Retry, nil},
		{httpx.Answer{Sent: true, Status: 413, Code: "uploadTooLarge"}, objstore.Retry, nil},
		{httpx.Answer{Sent: true, Status: 301, Code: ""}, objstore.Retry, nil},
		{httpx.Answer{Sent: true, Status: 307, Code: ""}, objstore.Retry, nil},
		{httpx.Answer{}, objstore.Retry, nil}, // never connected

		// Everything else: it may be there.
		{httpx.Answer{Sent: true}, objstore.Unknown, nil}, // reset, timeout
		{httpx.Answer{Sent: true, Status: 412, Code: ""}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 408, Code: "requestTimeout"}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 410, Code: ""}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 499, Code: ""}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 500, Code: "backendError"}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 500, Code: "internalError"}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 502, Code: ""}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 503, Code: "backendError"}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 503, Code: "rateLimitExceeded"}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 503, Code: ""}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 504, Code: ""}, objstore.Unknown, nil},
		{httpx.Answer{Sent: true, Status: 200, Code: ""}, objstore.Unknown, nil}, // the end of a good answer was lost
		{httpx.Answer{Sent: true, Status: 304, Code: ""}, objstore.Unknown, nil},
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

// One status with one reason is Exists, and no 2xx and no 5xx is a proof.
func TestClassifyClaimsNothingElse(t *testing.T) {
	contract.Row(t, 126)
	for status := 100; status < 600; status++ {
		for _, code := range []string{"", "conditionNotMet", "PreconditionFailed", "BlobAlreadyExists", "NoSuchKey", "backendError"} {
			got := Classify(httpx.Answer{Sent: true, Status: status, Code: code}).Outcome
			if got == objstore.Created || got == objstore.OutcomeInvalid {
				t.Errorf("%d %s: %v", status, code, got)
			}
			if (got == objstore.Exists) != (status == 412 && code == "conditionNotMet") {
				t.Errorf("%d %s: %v", status, code, got)
			}
			if got == objstore.Retry && (status < 300 || status >= 500) {
				t.Errorf("%d %s: Retry", status, code)
			}
		}
	}
}

func TestReason(t *testing.T) {
	contract.Row(t, 126)
	inJSON := func(reason, message string) string {
		return fmt.Sprintf(`{"error":{"code":404,"message":%q,"errors":[{"domain":"global","reason":%q,"message":%q}]}}`, message, reason, message)
	}
	for _, c := range []struct {
		status   int
		body     string
		aboutKey bool
		want     string
	}{
		{404, `<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`, true, "NoSuchKey"},
		{404, `<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchBucket</Code></Error>`, true, "NoSuchBucket"},
		{412, inJSON("conditionNotMet", "At least one of the pre-conditions you specified did not hold."), false, "conditionNotMet"},
		{404, inJSON("notFound", "No such object: bucket/key"), true, "NoSuchKey"},
		{404, inJSON("notFound", "The specified bucket does not exist."), true, "NoSuchBucket"},
		{404, inJSON("notFound", "Not Found"), false, "NoSuchBucket"}, // a put, a listing: nothing else can be missing
		{403, inJSON("forbidden", "x does not have storage.objects.create access"), false, "forbidden"},
		{404, "default backend - 404", true, ""},
		{404, "<html><body>404</body></html>", true, ""},
		{404, `{"error":"not found"}`, true, ""},
		{404, `{"message":"no Route matched"}`, true, ""},
		{502, "", false, ""},
	} {
		if got := Reason(c.status, []byte(c.body), c.aboutKey); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.status, c.body, got, c.want)
		}
	}
}
