// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/teeth"
)

// Evidence is everything that Judge looks at.
type Evidence struct {
	// Results, of this machine and of the proof.
	Results []Result
	// Code is the present content hash of each binary, by its key.
	Code map[string]string
	// Mutants of the tree, and the hash that a result of each must have.
	Mutants []teeth.Mutant
	Hashes  map[string]string
	// Teeth are the newest results of mutants, here and in the proof.
	Teeth []Tooth
}

// Tooth is a result of a mutant; Commit is that of the proof that holds it.
type Tooth struct {
	teeth.Record
	Commit string
}

// State is what a result is worth now.
type State string

// The states of tests and mutants.
const (
	Proves     State = "pass"       // counts
	Fails      State = "FAIL"       // fails now
	Died       State = "UNFINISHED" // its process died, or it still runs
	SampleOnly State = "sampled"    // passed, but did less than the row asks for
	DidNotRun  State = "skip"       // skipped
	Stale      State = "stale"      // the code changed since
	CaughtNow  State = "caught"     // counts
	Survives   State = "SURVIVED"   // the tests do not bite
	Broken     State = "ERROR"      // the mutant shows nothing
	NeverRan   State = "not run"    // no result of it
	Misses     State = "misses"     // caught, but by no test of this row
	NotShown   State = "seen?"      // caught, but nobody looked whether the library's tests see it too
)

// Verdict is what is to be said of one row.
type Verdict struct {
	contract.Entry
	Met bool `json:"met"`
	// Why it is not met, in one sentence.
	Why     string        `json:"why,omitempty"`
	Tests   []TestState   `json:"tests"`
	Mutants []MutantState `json:"mutants"`
}

// TestState is a test of a row.
type TestState struct {
	Package string         `json:"package"`
	Test    string         `json:"test"`
	Tags    string         `json:"tags,omitempty"`
	State   State          `json:"state"`
	Seconds float64        `json:"seconds"`
	Counts  map[string]int `json:"counts,omitempty"`
	// Commit of the proof that shows it; empty: shown on this machine.
	Commit string `json:"commit,omitempty"`

	result Result
}

// MutantState is a mutant of a row.
type MutantState struct {
	Name   string   `json:"name"`
	State  State    `json:"state"`
	Tests  []string `json:"tests,omitempty"`
	Commit string   `json:"commit,omitempty"`

	tooth Tooth
}

// Judge is pure: it says of each row whether the evidence meets it.
func Judge(rows []int, e Evidence) []Verdict {
	newest := newestOfEach(e)
	var out []Verdict
	for _, n := range rows {
		entry, _ := contract.Lookup(n)
		v := Verdict{Entry: entry, Tests: []TestState{}, Mutants: []MutantState{}}
		for _, s := range newest {
			if slices.Contains(s.result.Rows, n) {
				s.State = s.of(entry.Tier, e)
				v.Tests = append(v.Tests, s)
			}
		}
		v.Tests = dropOutdated(v.Tests)
		for _, m := range e.Mutants {
			if slices.Contains(m.Rows, n) {
				v.Mutants = append(v.Mutants, mutantState(m, n, e))
			}
		}
		v.Why = v.why()
		v.Met = v.Why == ""
		out = append(out, v)
	}
	return out
}

// newestOfEach picks, of each test, the one result that speaks for it: the newest
// of the present code, except that a skip hides nothing and a sampled pass does
// not hide a full one; a stale result only when there is nothing else.
func newestOfEach(e Evidence) []TestState {
	best := map[string]Result{}
	for _, r := range slices.SortedFunc(slices.Values(e.Results), byAge) {
		key := r.Key() + "\t" + r.Test
		old, seen := best[key]
		switch {
		case !seen || !e.current(old):
			best[key] = r // anything newer is better than nothing, or than stale
		case !e.current(r):
		case r.Outcome == Skipped && old.Outcome != Skipped: // says nothing
		case r.Outcome == Passed && old.Outcome == Passed && old.whole() && !r.whole():
		default:
			best[key] = r
		}
	}
	var out []TestState
	for _, key := range slices.Sorted(maps.Keys(best)) {
		r := best[key]
		out = append(out, TestState{
			Package: r.Package, Test: r.Test, Tags: r.Tags, Seconds: r.Seconds, Counts: r.Counts, Commit: r.Commit, result: r,
		})
	}
	return out
}

func (e Evidence) current(r Result) bool { return r.Hash != "" && e.Code[r.Key()] == r.Hash }

func (r Result) whole() bool { return r.Full && !r.Sampled }

func (s TestState) of(tier contract.Tier, e Evidence) State {
	r := s.result
	switch {
	case !e.current(r):
		return Stale
	case r.Outcome == FailedTest:
		return Fails
	case r.Outcome == Unfinished:
		return Died
	case r.Outcome == Skipped:
		return DidNotRun
	case r.Sampled || tier == contract.TierProve && !r.Full:
		return SampleOnly
	default:
		return Proves
	}
}

// dropOutdated hides stale tests of a package that has fresh ones: they were
// renamed or deleted.
func dropOutdated(tests []TestState) []TestState {
	fresh := map[string]bool{}
	for _, t := range tests {
		if t.State != Stale {
			fresh[t.result.Key()] = true
		}
	}
	return slices.DeleteFunc(tests, func(t TestState) bool { return t.State == Stale && fresh[t.result.Key()] })
}

func mutantState(m teeth.Mutant, row int, e Evidence) MutantState {
	out := MutantState{Name: m.Name, State: NeverRan}
	for _, t := range e.Teeth {
		if t.Name != m.Name {
			continue
		}
		current := t.Hash == e.Hashes[m.Name]
		if had := out.tooth.Hash == e.Hashes[m.Name]; out.State != NeverRan && (had && !current || had == current && t.Time.Before(out.tooth.Time)) {
			continue
		}
		out.tooth, out.Commit, out.Tests = t, t.Commit, t.Rows[row]
		switch {
		case !current:
			out.State = Stale
		case t.Verdict == teeth.Survived:
			out.State = Survives
		case t.Verdict != teeth.Caught:
			out.State = Broken
		case len(out.Tests) == 0:
			out.State = Misses
		case row == plantedRow && m.Unseen && !t.Unseen:
			out.State = NotShown
		default:
			out.State = CaughtNow
		}
	}
	return out
}

// why is empty for a row that is met.
func (v Verdict) why() string {
	tests := map[State][]string{}
	var provedAt string
	for _, t := range v.Tests {
		tests[t.State] = append(tests[t.State], short(t.Package)+"."+t.Test)
		if t.State == Stale {
			provedAt = cmp.Or(provedAt, t.Commit)
		}
	}
	mutants := map[State][]string{}
	for _, m := range v.Mutants {
		mutants[m.State] = append(mutants[m.State], m.Name)
	}
	switch {
	case len(v.Tests) == 0 && v.Number == kindRow:
		return "kind: not run"
	case len(v.Tests) == 0:
		return "no result of any test that names it"
	case len(tests[Fails]) > 0:
		return "failing: " + strings.Join(tests[Fails], ", ")
	case len(tests[Died]) > 0:
		return "did not finish: " + strings.Join(tests[Died], ", ")
	case len(tests[Proves]) > 0:
	case len(tests[SampleOnly]) > 0:
		return "only sampled: make prove runs it in full"
	case len(tests[Stale]) > 0 && provedAt != "":
		return fmt.Sprintf("proved at %.10s, but its code changed since: run %s", provedAt, v.remedy())
	case len(tests[Stale]) > 0:
		return "its code changed since the last result: run " + v.remedy()
	default:
		return "skipped, never passed"
	}
	switch {
	case len(v.Mutants) == 0:
		return "no mutant in test/teeth names it"
	case len(mutants[Survives]) > 0:
		return "survived: " + strings.Join(mutants[Survives], ", ")
	case v.Number == plantedRow && len(mutants[CaughtNow]) < len(v.Mutants):
		return fmt.Sprintf("%d of its %d bugs are shown: run make prove-teeth", len(mutants[CaughtNow]), len(v.Mutants))
	case len(mutants[CaughtNow]) > 0:
		return ""
	case len(mutants[Broken]) > 0:
		return "the mutant shows nothing: " + strings.Join(mutants[Broken], ", ")
	case len(mutants[Misses]) > 0:
		return "caught by no test of this row: " + strings.Join(mutants[Misses], ", ")
	case len(mutants[Stale]) > 0:
		return fmt.Sprintf("its mutant's code changed since: run make teeth ROWS=%d", v.Number)
	default:
		return fmt.Sprintf("its mutant was not run: run make teeth ROWS=%d", v.Number)
	}
}

// plantedRow is of the bugs of the protocol: all of them have to be caught.
const plantedRow = 155

// kindRow is proved where a Docker engine runs, and says so where none does.
const kindRow = 166

func (v Verdict) remedy() string {
	if v.Tier == contract.TierProve {
		return "make prove"
	}
	return "make test"
}

// short is a package's path within the module.
func short(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, "github.com/salvor-io/salvor"), "/")
}
