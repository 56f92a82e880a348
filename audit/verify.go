// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"

	"github.com/salvor-io/salvor/objstore"
)

// Verdict is what a completed verification came to.
type Verdict string

const (
	// Good: every row holds, and no anchor is contradicted.
	Good Verdict = "Good"
	// Bad: something is broken, or cannot be verified with the keys given.
	Bad Verdict = "Bad"
)

// VerifyOptions is what a verifier knows from outside the chain.
type VerifyOptions struct {
	// Expect are heads remembered elsewhere: in publications, in a status in
	// another trust domain. Zero heads are ignored.
	Expect []Head
	// StoreUID is the store whose chain this is. Empty: the first row's.
	StoreUID string
}

// Report is what Verify found.
type Report struct {
	Head    Head   `json:"head"`    // the newest object found
	Objects uint64 `json:"objects"` // how many were read
	Rows    uint64 `json:"rows"`    // how many rows they held
	// Breaks are the broken ranges in the order of the chain, at most MaxBreaks.
	Breaks []Break `json:"breaks"`
	// MoreBreaks counts the ranges beyond MaxBreaks.
	MoreBreaks uint64 `json:"moreBreaks,omitempty"`
	// Unanchored counts the rows newer than every head in Expect, FirstUnanchored
	// is the first of them: nothing outside the chain would notice if they, and
	// rows after them, were cut off. They are not counted as broken, nor vouched for.
	Unanchored      uint64 `json:"unanchored"`
	FirstUnanchored uint64 `json:"firstUnanchored,omitempty"`
}

// Verdict is Good when nothing is broken.
func (r *Report) Verdict() Verdict {
	if len(r.Breaks) > 0 {
		return Bad
	}
	return Good
}

// Verify walks the whole chain and reports every broken range. The error is for
// what could not be looked at; the report is then partial and proves nothing good.
func Verify(ctx context.Context, bucket objstore.Bucket, chain string, keys *Keyring, opts VerifyOptions) (*Report, error) {
	return nil, errors.ErrUnsupported
}
