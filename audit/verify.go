// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"

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

// Verify walks the whole chain and reports every broken range. It holds one
// object at a time. The error is for what could not be looked at; the report is
// then partial and proves nothing good.
func Verify(ctx context.Context, bucket objstore.Bucket, chain string, keys *Keyring, opts VerifyOptions) (*Report, error) {
	v := verifier{check: newChecker(chain, opts.StoreUID, keys), anchors: map[uint64][]string{}, found: breaks{kept: []Break{}}}
	for _, h := range opts.Expect {
		if h.Number > 0 {
			v.anchors[h.Number] = append(v.anchors[h.Number], h.Hash)
			v.last = max(v.last, h.Number)
		}
	}
	for o, err := range objects(ctx, bucket, chain, 1) {
		if err != nil {
			return v.done(), fmt.Errorf("verify audit chain %s: %w", chain, err)
		}
		v.object(o)
	}
	v.end()
	return v.done(), nil
}

// verifier is one walk: the checker's place, the anchors, what was found.
type verifier struct {
	check   checker
	anchors map[uint64][]string // number -> hashes that anchors give its last row
	last    uint64              // the highest of them
	found   breaks
	report  Report
}

func (v *verifier) object(o object) {
	f := v.check.object(o.number, o.body)
	for b := range f.faults {
		v.found.add(b)
	}
	v.report.Objects++
	v.report.Rows += uint64(len(f.rows))
	v.report.Head = Head{Number: o.number}
	if len(f.rows) == 0 {
		return
	}
	last := f.rows[len(f.rows)-1]
	v.report.Head.Hash = last.Hash
	if o.number > v.last {
		if v.report.Unanchored == 0 {
			v.report.FirstUnanchored = f.rows[0].ID
		}
		v.report.Unanchored += uint64(len(f.rows))
	}
	if f.damaged != nil || last.fault != nil && last.fault.Why != Unverifiable {
		return // its hash is out of the question already
	}
	for _, want := range v.anchors[o.number] {
		if want != last.Hash {
			b := rewritten(Head{o.number, want}, v.report.Head)
			b.RowID, b.LastRowID = last.ID, last.ID
			v.found.add(*b)
		}
	}
}

// end is called once, behind the newest object.
func (v *verifier) end() {
	if newest := v.report.Head.Number; newest < v.last {
		v.found.add(Break{Number: newest + 1, LastNumber: v.last, RowID: v.check.next, Why: CutTail,
			Detail: fmt.Sprintf("the chain ends with object %d, a head remembered elsewhere names object %d", newest, v.last)})
	}
}

func (v *verifier) done() *Report {
	v.report.Breaks, v.report.MoreBreaks = v.found.kept, v.found.more
	return &v.report
}
