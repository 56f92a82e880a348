// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/salvor-io/salvor/test/contract"
)

// Result is what one run showed of one test.
type Result struct {
	contract.Binary
	Test    string
	Rows    []int
	Outcome Outcome
	Hash    string
	Full    bool
	Sampled bool
	Counts  map[string]int
	Time    time.Time
	Seconds float64
	// Commit of the proof that holds the result; empty for one of this machine.
	Commit string
}

// Outcome is how a run of a test ended.
type Outcome string

// The outcomes.
const (
	Passed     Outcome = "pass"
	FailedTest Outcome = "fail"
	Skipped    Outcome = "skip"
	// Unfinished: the process died under the test, or it still runs.
	Unfinished Outcome = "unfinished"
)

// Results makes one result of the records of each run of a test. A test that was
// repeated in one process (-count) failed if it failed once.
func Results(records []contract.Record) []Result {
	type id struct{ run, test string }
	runs := map[id]*Result{}
	for _, rec := range records {
		r := runs[id{rec.Run, rec.Test}]
		if r == nil {
			r = &Result{Outcome: Unfinished}
			runs[id{rec.Run, rec.Test}] = r
		}
		failed := r.Outcome == FailedTest
		*r = Result{
			Binary: rec.Binary, Test: rec.Test, Rows: rec.Rows, Outcome: Unfinished, Hash: rec.Hash, Full: rec.Full,
			Sampled: rec.Sampled, Counts: rec.Counts, Time: rec.Time, Seconds: rec.Seconds,
		}
		switch {
		case failed || rec.Result == contract.Fail:
			r.Outcome = FailedTest
		case rec.Result == contract.Pass:
			r.Outcome = Passed
		case rec.Result == contract.Skip:
			r.Outcome = Skipped
		}
	}
	var out []Result
	for _, r := range runs {
		out = append(out, *r)
	}
	slices.SortFunc(out, byAge)
	return out
}

func byAge(a, b Result) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Package, b.Package), cmp.Compare(a.Test, b.Test))
}

// Binaries lists what the results were built from, each once.
func Binaries(results []Result) []contract.Binary {
	byKey := map[string]contract.Binary{}
	for _, r := range results {
		byKey[r.Key()] = r.Binary
	}
	var out []contract.Binary
	for _, b := range byKey {
		out = append(out, b)
	}
	return out
}
