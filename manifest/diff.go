// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"maps"
	"slices"
)

// TableDiff is one table that is not the same in two versions. From is zero for a
// new table, To for a dropped one.
type TableDiff struct {
	Table TableID `json:"table"`
	From  Pin     `json:"from,omitzero"`
	To    Pin     `json:"to,omitzero"`
}

// WriterDiff is one writer whose epoch is not the same.
type WriterDiff struct {
	Writer WriterID `json:"writer"`
	From   Epoch    `json:"from,omitzero"`
	To     Epoch    `json:"to,omitzero"`
}

// Diff is what changed from one version to another.
type Diff struct {
	From    Version      `json:"from"`
	To      Version      `json:"to"`
	Tables  []TableDiff  `json:"tables"`
	Writers []WriterDiff `json:"writers"`
	// Decided lists the operations that were decided between the two, oldest first,
	// as far as the newer one remembers them.
	Decided []Outcome `json:"decided"`
}

// Compare returns what changed from a to b. It is pure; the order is by name.
func Compare(a, b *State) Diff {
	d := Diff{From: a.Version, To: b.Version, Tables: []TableDiff{}, Writers: []WriterDiff{}, Decided: []Outcome{}}
	for _, t := range sortedKeys(a.Tables, b.Tables) {
		if from, to := a.Tables[t], b.Tables[t]; from != to {
			d.Tables = append(d.Tables, TableDiff{t, from, to})
		}
	}
	for _, w := range sortedKeys(a.Writers, b.Writers) {
		if from, to := a.Writers[w], b.Writers[w]; from != to {
			d.Writers = append(d.Writers, WriterDiff{w, from, to})
		}
	}
	for _, o := range b.Outcomes {
		if o.Version > a.Version {
			d.Decided = append(d.Decided, o)
		}
	}
	return d
}

func sortedKeys[K ~string, V any](a, b map[K]V) []K {
	all := maps.Clone(a)
	if all == nil {
		all = map[K]V{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
