// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Met counts the rows that are met.
func Met(verdicts []Verdict) (n int) {
	for _, v := range verdicts {
		if v.Met {
			n++
		}
	}
	return n
}

// Print writes the report for people. checks adds what each unmet row has to
// show.
func Print(w io.Writer, verdicts []Verdict, checks bool) {
	for _, v := range verdicts {
		word := "met"
		if !v.Met {
			word = "UNMET"
		}
		fmt.Fprintf(w, "%4d  %-5s  %-8s  %s\n", v.Number, word, v.Area, v.Capability)
		if !v.Met {
			fmt.Fprintf(w, "             %s\n", v.Why)
			if checks {
				fmt.Fprintf(w, "             to show (%s): %s\n", v.Tier, v.Check)
			}
		}
		for _, t := range v.Tests {
			fmt.Fprintf(w, "             %-10s  %s.%s%s\n", t.State, short(t.Package), t.Test, t.detail())
		}
		for _, m := range v.Mutants {
			fmt.Fprintf(w, "             %-10s  mutant %s%s\n", m.State, m.Name, m.detail())
		}
	}
	if !anyResult(verdicts) {
		fmt.Fprintln(w, "\nNo results. \"make test\" records sampled ones here, \"make teeth\" those of the mutants, \"make prove\" all in full.")
	}
	fmt.Fprintf(w, "contract: %d of %d rows met\n", Met(verdicts), len(verdicts))
}

func anyResult(verdicts []Verdict) bool {
	return slices.ContainsFunc(verdicts, func(v Verdict) bool { return len(v.Tests) > 0 })
}

func (s TestState) detail() string {
	words := []string{fmt.Sprintf("%.1f s", s.Seconds)}
	if s.State == Stale || s.State == Died {
		words = nil
	}
	for _, what := range slices.Sorted(maps.Keys(s.Counts)) {
		words = append(words, fmt.Sprintf("%d %s", s.Counts[what], what))
	}
	if s.Tags != "" {
		words = append(words, "tags "+s.Tags)
	}
	return "  (" + strings.Join(append(words, where(s.Commit)), ", ") + ")"
}

func (m MutantState) detail() string {
	if m.State == NeverRan {
		return ""
	}
	by := ""
	if len(m.Tests) > 0 {
		by = " by " + m.Tests[0][strings.LastIndexByte(m.Tests[0], '/')+1:]
		if more := len(m.Tests) - 1; more > 0 {
			by += fmt.Sprintf(" and %d more", more)
		}
	}
	return by + "  (" + where(m.Commit) + ")"
}

func where(commit string) string {
	if commit == "" {
		return "here"
	}
	return fmt.Sprintf("proved at %.10s", commit)
}
