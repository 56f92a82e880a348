// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package httpx

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
	// Code is the provider's word for the error. "" when the answer is not in the
	// provider's form: a proxy spoke.
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

// Rule is one row of a provider's table. An empty Code fits every answer of the
// status, also one without a code.
type Rule struct {
	Status int
	Code   string
	Verdict
}

// Table translates a provider's answers: the first rule that fits counts.
type Table []Rule

// Classify says what a request that did not succeed came to. It is total: what
// was never sent is Retry, what no rule knows is Unknown.
func (t Table) Classify(a Answer) Verdict {
	if !a.Sent && a.Status == 0 {
		return Verdict{Outcome: objstore.Retry}
	}
	for _, r := range t {
		if r.Status == a.Status && (r.Code == "" || r.Code == a.Code) {
			return r.Verdict
		}
	}
	// Every other 5xx, a timeout, a reset, a 200 whose end was lost.
	return Verdict{Outcome: objstore.Unknown}
}

// ReadAgain reports whether a read with this answer is worth another try. It is
// never asked for what writes.
func ReadAgain(a Answer) bool {
	switch a.Status {
	case 0, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	default:
		return a.Status >= 500
	}
}
