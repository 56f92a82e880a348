// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob

import (
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/httpx"
)

// Hints, in the words of somebody who can act on them.
const (
	hintDenied    = "check that the identity may read, list, write and delete blobs here (role Storage Blob Data Contributor, or the sample in config/samples/iam), and the firewall of the account"
	hintSignature = "the account key or the token is not valid there, or the clock of this host is wrong: correct them"
	hintContainer = "create the container, or correct its name, the account or the endpoint"
	hintNotAzure  = "this is no answer of Azure Blob Storage: correct the endpoint, or the proxy before it"
	hintElse      = "something on the way redirects: correct the endpoint"
	hintTooLarge  = "a proxy on the way refuses bodies of this size: raise its limit to 9 MiB"
	hintVersion   = "the server does not know the version of the protocol that this program speaks: update the server (Azurite has --skipApiVersionCheck)"
)

// answers is the whole translation. Exists and Retry are claims about the blob
// and stand here only where the answer proves them.
var answers = httpx.Table{
	row(http.StatusConflict, bloberror.BlobAlreadyExists, objstore.Exists, nil, ""),
	row(http.StatusPreconditionFailed, bloberror.ConditionNotMet, objstore.Exists, nil, ""),

	// The container is on its way out; the name is free again in half a minute.
	row(http.StatusConflict, bloberror.ContainerBeingDeleted, objstore.Retry, objstore.ErrNoSuchBucket, hintContainer),
	row(http.StatusConflict, bloberror.ContainerDisabled, objstore.Retry, objstore.ErrAccessDenied, hintDenied),
	// Refused for what the blob or the account is: immutable, leased, archived, ...
	row(http.StatusConflict, "", objstore.Retry, nil, ""),

	row(http.StatusTooManyRequests, "", objstore.Retry, nil, ""),

	row(http.StatusForbidden, bloberror.AuthenticationFailed, objstore.Retry, objstore.ErrAccessDenied, hintSignature),
	row(http.StatusForbidden, "", objstore.Retry, objstore.ErrAccessDenied, hintDenied),
	row(http.StatusUnauthorized, "", objstore.Retry, objstore.ErrAccessDenied, hintSignature),

	row(http.StatusNotFound, bloberror.ContainerNotFound, objstore.Retry, objstore.ErrNoSuchBucket, hintContainer),
	row(http.StatusNotFound, bloberror.BlobNotFound, objstore.Retry, objstore.ErrNotFound, ""),
	// Any other 404 is not Azure's word about the key, and never "absent".
	row(http.StatusNotFound, "", objstore.Retry, nil, hintNotAzure),

	row(http.StatusMovedPermanently, "", objstore.Retry, nil, hintElse),
	row(http.StatusFound, "", objstore.Retry, nil, hintElse),
	row(http.StatusTemporaryRedirect, "", objstore.Retry, nil, hintElse),
	row(http.StatusPermanentRedirect, "", objstore.Retry, nil, hintElse),

	// Refused for what the request is.
	row(http.StatusBadRequest, bloberror.InvalidHeaderValue, objstore.Retry, nil, hintVersion),
	row(http.StatusBadRequest, "", objstore.Retry, nil, ""),
	row(http.StatusMethodNotAllowed, "", objstore.Retry, nil, ""),
	row(http.StatusLengthRequired, "", objstore.Retry, nil, ""),
	row(http.StatusRequestEntityTooLarge, "", objstore.Retry, nil, hintTooLarge),
	row(http.StatusRequestURITooLong, "", objstore.Retry, nil, ""),
	row(http.StatusExpectationFailed, "", objstore.Retry, nil, ""),
	row(http.StatusRequestHeaderFieldsTooLarge, "", objstore.Retry, nil, ""),
}

func row(status int, code bloberror.Code, outcome objstore.Outcome, err error, hint string) httpx.Rule {
	return httpx.Rule{Status: status, Code: string(code), Verdict: httpx.Verdict{Outcome: outcome, Err: err, Hint: hint}}
}

// Classify says what a request that did not succeed came to. It is a pure
// function and the only place that knows provider codes. a.Code is the
// x-ms-error-code.
func Classify(a httpx.Answer) httpx.Verdict { return answers.Classify(a) }
