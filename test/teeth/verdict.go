// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/test/contract"
)

// Verdict is what became of a mutant.
type Verdict string

const (
	// Caught: a test of each of its rows failed.
	Caught Verdict = "caught"
	// Survived: the tests pass with the bug in the product.
	Survived Verdict = "survived"
	// Failed: nothing was shown; the mutant or its header needs work.
	Failed Verdict = "error"
)

// ran is what one run of go test showed.
type ran struct {
	// Of "go test -json": names of tests, and what failed to build.
	started, failed, skipped map[string]bool
	buildFailed              bool
	timedOut                 bool
	killed                   bool // by the runner: the test binary outlived its own timeout
	ok                       bool // go test's own exit code
	output                   string
	// proved lists the tests of each row that failed, by contract.Row.
	rowFailed, rowPassed map[int][]string
}

// event is one line of "go test -json".
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	FailedBuild string
}

func newRan() *ran {
	return &ran{
		started: map[string]bool{}, failed: map[string]bool{}, skipped: map[string]bool{},
		rowFailed: map[int][]string{}, rowPassed: map[int][]string{},
	}
}

// keptOutput is how much of the end of a run's output is kept, in bytes: what went
// wrong is said at the end.
const keptOutput = 64 << 10

func (r *ran) add(e event) {
	test := e.Package + "." + e.Test
	switch {
	case e.Action == "build-fail" || e.FailedBuild != "":
		r.buildFailed = true
	case e.Action == "output" || e.Action == "build-output":
		if r.output += e.Output; len(r.output) > 2*keptOutput {
			r.output = r.output[len(r.output)-keptOutput:]
		}
		if strings.HasPrefix(e.Output, "panic: test timed out after ") || strings.HasPrefix(e.Output, "*** Test killed") {
			r.timedOut = true
		}
	case e.Test == "":
	case e.Action == "run":
		r.started[test] = true
	case e.Action == "fail":
		r.failed[test] = true
	case e.Action == "skip":
		r.skipped[test] = true
	}
}

// addRecords takes in what contract.Row recorded. A test that did not finish
// took its process down: it failed.
func (r *ran) addRecords(records []contract.Record) {
	type id struct{ run, test string }
	last := map[id]contract.Record{}
	for _, rec := range records {
		last[id{rec.Run, rec.Test}] = rec
	}
	for _, rec := range last {
		into := r.rowFailed
		switch name := rec.Package + "." + rec.Test; {
		case rec.Result == contract.Pass:
			into = r.rowPassed
		case rec.Result == contract.Skip:
			continue
		case rec.Result == "" && r.started[name] && !r.failed[name] && !r.hung():
			continue // it ran beside the test that took the process down
		}
		for _, row := range rec.Rows {
			into[row] = append(into[row], rec.Package+"."+rec.Test)
		}
	}
	for _, tests := range []map[int][]string{r.rowFailed, r.rowPassed} {
		for _, names := range tests {
			slices.Sort(names)
		}
	}
}

func (r *ran) hung() bool { return r.timedOut || r.killed }

// baseline says why the run without a patch is no ground to stand on, if it is
// not.
func (r *ran) baseline(m *Mutant) error {
	switch {
	case r.buildFailed:
		return fmt.Errorf("does not compile even without the patch:\n%s", r.tail())
	case r.hung():
		return fmt.Errorf("timed out even without the patch:\n%s", r.tail())
	case !r.ok:
		return fmt.Errorf("fails even without the patch:\n%s", r.tail())
	case len(r.started) == 0:
		return fmt.Errorf("no test of %s matches %s", m.Command.Packages, m.Command.Run)
	case len(r.skipped) == len(r.started):
		return fmt.Errorf("the test is skipped:\n%s", r.tail())
	}
	for _, row := range m.Rows {
		if len(r.rowPassed[row]) == 0 {
			return fmt.Errorf("no test that %s runs in %s names row %d (contract.Row) and passes", m.Command.Run, m.Command.Packages, row)
		}
	}
	return nil
}

// judge turns the run with the patch into a verdict, given the one without.
func (r *ran) judge(m *Mutant, before *ran) (Verdict, string, map[int][]string) {
	switch {
	case r.buildFailed:
		return Failed, "with the patch it does not compile:\n" + r.tail(), nil
	case r.ok:
		if len(r.started) == 0 {
			return Failed, "with the patch no test is left", nil
		}
		if len(r.skipped) > len(before.skipped) {
			return Failed, "with the patch a test is skipped:\n" + r.tail(), nil
		}
		return Survived, "the tests pass with the bug in the product", nil
	case r.hung() && !m.TimeoutOK:
		return Failed, "with the patch the test hangs; if that is what the bug does, say \"Timeout: ok\":\n" + r.tail(), nil
	case len(r.failed) == 0 && !r.hung():
		return Failed, "go test failed, but no test did:\n" + r.tail(), nil
	case m.Says != nil && !m.Says.MatchString(r.output):
		return Failed, fmt.Sprintf("a test fails, but does not say %q:\n%s", m.Says, r.tail()), nil
	}
	rows := map[int][]string{}
	for _, row := range m.Rows {
		rows[row] = slices.DeleteFunc(slices.Clone(r.rowFailed[row]), func(test string) bool {
			return !slices.Contains(before.rowPassed[row], test)
		})
		if len(rows[row]) == 0 {
			return Failed, fmt.Sprintf("tests fail (%s), but none of those that name row %d (%s)", firstFew(slices.Sorted(maps.Keys(r.failed)), 3),
				row, firstFew(before.rowPassed[row], 3)), nil
		}
	}
	return Caught, "", rows
}

// tail is the end of the output, for people.
func (r *ran) tail() string {
	lines := strings.Split(strings.TrimSpace(r.output), "\n")
	if extra := len(lines) - 15; extra > 0 {
		lines = append([]string{fmt.Sprintf("... %d lines", extra)}, lines[extra:]...)
	}
	return "    " + strings.Join(lines, "\n    ")
}

func firstFew(names []string, n int) string {
	names = slices.Clone(names)
	for i, name := range names {
		names[i] = name[strings.LastIndexByte(name, '/')+1:]
	}
	if len(names) > n {
		return strings.Join(names[:n], ", ") + fmt.Sprintf(" and %d more", len(names)-n)
	}
	return strings.Join(names, ", ")
}
