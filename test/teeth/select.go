// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"github.com/salvor-io/salvor/test/contract"
)

// Selection says which mutants to run.
type Selection struct {
	// Rows: only mutants of one of these rows; empty: of any.
	Rows []int
	// Name: only this mutant.
	Name string
	// Sample: at most so many, those whose last result is oldest or stale first, and
	// none of tier prove. Zero: all.
	Sample int
	// Salt decides among mutants that were never run, so that samples of fresh
	// checkouts differ from commit to commit.
	Salt string
}

// Select is pure. hashes are the mutants' present ones, by name.
func (s Selection) Select(mutants []Mutant, newest map[string]Record, hashes map[string]string) []Mutant {
	var out []Mutant
	for _, m := range mutants {
		wanted := len(s.Rows) == 0 || slices.ContainsFunc(s.Rows, func(n int) bool { return slices.Contains(m.Rows, n) })
		if wanted && (s.Name == "" || s.Name == m.Name) && (s.Sample == 0 || m.Tier == contract.TierTest) {
			out = append(out, m)
		}
	}
	if s.Sample == 0 {
		return out
	}
	stale := func(m Mutant) int {
		if r, ok := newest[m.Name]; ok && r.Hash == hashes[m.Name] && r.Verdict == Caught {
			return 1
		}
		return 0
	}
	lot := func(m Mutant) string {
		sum := sha256.Sum256([]byte(s.Salt + m.Name))
		return string(sum[:])
	}
	slices.SortFunc(out, func(a, b Mutant) int {
		return cmp.Or(
			stale(a)-stale(b),
			newest[a.Name].Time.Compare(newest[b.Name].Time),
			cmp.Compare(lot(a), lot(b)),
		)
	})
	return out[:min(s.Sample, len(out))]
}
