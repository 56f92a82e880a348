// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package contract

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Tier says which run can prove a row.
type Tier string

const (
	// TierTest: a sampled run, "make test", is enough.
	TierTest Tier = "test"
	// TierProve: timings, cycles and large counts; only a full run counts.
	TierProve Tier = "prove"
)

// Entry is one row of the contract.
type Entry struct {
	Number     int    `json:"row"`
	Area       string `json:"area"`
	Tier       Tier   `json:"tier"`
	Capability string `json:"capability"`
	Check      string `json:"check"`
}

//go:embed rows.txt
var rowsText string

// Rows returns the whole contract, by number.
var Rows = sync.OnceValue(func() []Entry {
	rows, err := ParseRows(rowsText)
	if err != nil {
		panic("test/contract/rows.txt: " + err.Error())
	}
	return rows
})

// Lookup returns the row of that number.
func Lookup(number int) (Entry, bool) {
	rows := Rows()
	i, ok := slices.BinarySearchFunc(rows, number, func(e Entry, n int) int { return e.Number - n })
	if !ok {
		return Entry{}, false
	}
	return rows[i], true
}

// ParseRows reads the format of rows.txt.
func ParseRows(text string) ([]Entry, error) {
	var rows []Entry
	for block := range strings.SplitSeq(text, "\n\n") {
		lines := slices.DeleteFunc(strings.Split(block, "\n"), func(l string) bool {
			return l == "" || strings.HasPrefix(l, "#")
		})
		if len(lines) == 0 {
			continue
		}
		e, err := parseRow(lines)
		if err != nil {
			return nil, err
		}
		if n := len(rows); n > 0 && rows[n-1].Number >= e.Number {
			return nil, fmt.Errorf("row %d comes after row %d", e.Number, rows[n-1].Number)
		}
		rows = append(rows, e)
	}
	return rows, nil
}

func parseRow(lines []string) (Entry, error) {
	head := strings.Fields(lines[0])
	if len(lines) != 3 || len(head) != 3 {
		return Entry{}, fmt.Errorf("%q: want three lines: \"number area tier\", capability, check", lines[0])
	}
	n, err := strconv.Atoi(head[0])
	if err != nil || n < 1 {
		return Entry{}, fmt.Errorf("%q: not a row number", head[0])
	}
	check, ok := strings.CutPrefix(strings.TrimSpace(lines[2]), "check: ")
	if !ok {
		return Entry{}, fmt.Errorf("row %d: the third line begins with \"check: \"", n)
	}
	e := Entry{Number: n, Area: head[1], Tier: Tier(head[2]), Capability: strings.TrimSpace(lines[1]), Check: check}
	if e.Tier != TierTest && e.Tier != TierProve {
		return Entry{}, fmt.Errorf("row %d: tier %q is neither %q nor %q", n, e.Tier, TierTest, TierProve)
	}
	return e, nil
}

// ParseList reads "66-105,121". Empty means every row.
func ParseList(list string) ([]int, error) {
	var out []int
	if strings.TrimSpace(list) == "" {
		for _, e := range Rows() {
			out = append(out, e.Number)
		}
		return out, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(strings.TrimSpace(first))
		to, err2 := strconv.Atoi(strings.TrimSpace(last))
		if err1 != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("%q: want a row or a range of rows, as in 66-105,121", part)
		}
		for n := from; n <= to; n++ {
			if _, ok := Lookup(n); !ok {
				return nil, fmt.Errorf("there is no row %d", n)
			}
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
