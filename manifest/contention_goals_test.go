// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// judged prints goals 18 and 19 for publishers of one process and for a process
// each: the value, what it has to be, and what it should be.
func judged(w io.Writer, cells []*cell) {
	by := map[string]*cell{}
	for _, c := range cells {
		by[c.name] = c
	}
	one := median(by["one"].rates)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	defer tw.Flush()
	fmt.Fprintf(tw, "goal\twhat\tvalue\tland\tstretch\t\n")
	line := func(goal int, what string, met bool, value, land, stretch string) {
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\n", goal, what, value, land, stretch, map[bool]string{true: "met", false: "MISSED"}[met])
	}
	for _, kind := range []string{"shared", "processes"} {
		c := by[kind+" 16"]
		rate, conflicts := median(c.rates)/one, 100*median(c.conflicts)
		line(18, c.name+": commits/s, of one", rate >= 0.9, fmt.Sprintf("%.2f", rate), ">= 0.9", "")
		line(18, c.name+": conflicts", conflicts <= 10, fmt.Sprintf("%.1f %%", conflicts), "<= 10 %", "")
		c = by[kind+" 64"]
		p99, most, fair := c.attempts[len(c.attempts)*99/100], slices.Max(c.attempts), median(c.fairness)
		line(19, c.name+": attempts p99", p99 <= 3, fmt.Sprint(p99), "<= 3", "")
		line(19, c.name+": attempts max", most <= 8, fmt.Sprint(most), "<= 8", "<= 4")
		line(19, c.name+": Jain", fair >= 0.95, fmt.Sprintf("%.3f", fair), ">= 0.95", "")
	}
}
