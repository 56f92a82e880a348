// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth_test

import (
	"slices"
	"testing"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/teeth"
)

// Enough bugs are planted in each part of the protocol, most of them fall to the
// explorers and the simulation only, and some have happened to others.
func TestPlantedBugs(t *testing.T) {
	contract.Row(t, 155)
	mutants, _, err := teeth.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		if m.Unseen && m.Command.Packages != "./test/sim" {
			t.Errorf("%s falls to %s: it is not unseen", m.Name, m.Command.Packages)
		}
		if m.Command.Packages == "./test/sim" && (m.Group == "" || !slices.Contains(m.Rows, 155)) {
			t.Errorf("%s: group %q and rows %v; what falls to test/sim is a bug of the protocol: it has a group and row 155", m.Name, m.Group, m.Rows)
		}
	}
	c := teeth.CensusOf(mutants)
	t.Log(c)
	if c.Planted < 140 || c.Unseen < 44 || c.Replays < 15 {
		t.Errorf("%d planted, %d unseen, %d replays: want 140, 44, 15", c.Planted, c.Unseen, c.Replays)
	}
	for _, g := range teeth.Groups {
		if c.Of[g] < 5 {
			t.Errorf("%d bugs of group %q: want 5", c.Of[g], g)
		}
	}
	contract.Count(t, "planted", c.Planted)
	contract.Count(t, "unseen", c.Unseen)
	contract.Count(t, "replays", c.Replays)
}

// What was found wrong with the drafts of the protocol is found again in the code.
func TestEveryHoleStaysClosed(t *testing.T) {
	contract.Row(t, 167)
	mutants, _, err := teeth.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, h := range teeth.Holes {
		opens := func(m teeth.Mutant) bool {
			return slices.Contains(m.Closes, h.ID) && m.Command.Packages == "./test/sim" && slices.Contains(m.Rows, 167)
		}
		if slices.ContainsFunc(mutants, opens) {
			found++
		} else {
			t.Logf("%s (%s): no mutant of row 167 in ./test/sim opens it again", h.ID, h.What)
		}
	}
	contract.Count(t, "holes", found)
	if found < len(teeth.Holes) {
		t.Errorf("%d of %d holes are opened again by a mutant", found, len(teeth.Holes))
	}
}
