// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

// Every table whose readers follow its head, up to four versions: head h, pin m,
// expected version e (so that e+1 is planned), confirmed version c or none, and
// whose each version above e is. o: the operation's, r: another's, b: what undoes it.
func TestClassifyVisibleTruthTable(t *testing.T) {
	contract.Row(t, 69)
	n := 0
	seen := map[Class]int{}
	for e := range uint64(3) {
		for _, owners := range strings.Fields("- o r b oo or ro rr ob rb br oor orr oro rro oob bo obo bb") {
			if owners == "-" {
				owners = ""
			}
			h := e + uint64(len(owners))
			for m := range uint64(4) {
				for c := range uint64(5) { // 4: none
					o, table := truth(e, owners, m, c)
					class, why := classifyTable(o, table)
					if want := wanted(h, m, e, c, owners); class != want {
						t.Errorf("h %d, m %d, e %d, c %d, %q: %s, want %s", h, m, e, c, owners, class, want)
					}
					if (class == ClassContradicts) != (why != "") {
						t.Errorf("h %d, m %d, e %d, c %d, %q: %s because of %q", h, m, e, c, owners, class, why)
					}
					n++
					seen[class]++
				}
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("classes %v", seen)
	}
	t.Logf("%d tables: %v", n, seen)
}

// wanted is the specification, in the words of the contract.
func wanted(h, m, e, c uint64, owners string) Class {
	ours, theirs := strings.Count(owners, "o"), strings.Count(owners, "r")
	switch {
	case h < m: // the manifest names what is not there
		return ClassContradicts
	case m != e && owners != "" && theirs == len(owners): // somebody else went on, without us
		return ClassMoved
	case ours > 0 && strings.TrimRight(owners, "r") == strings.Repeat("o", ours) && theirs > 0: // ours, then theirs
		return ClassBuried
	case strings.Contains(owners, "br"): // undone, then theirs
		return ClassBuried
	case m != e: // moved to nowhere
		return ClassContradicts
	case owners == "" && c == 4:
		return ClassNotApplied
	case ours > 0 && ours == len(owners) && (c == 4 || c == h):
		return ClassApplied
	case owners != "" && theirs == len(owners):
		return ClassForeign
	default: // confirmed and not there, another version than confirmed, mixed, or undone
		return ClassContradicts
	}
}

func truth(e uint64, owners string, m, c uint64) (*Observation, TableObservation) {
	s := &Sidecar{Store: "uid", Operation: "OP", Kind: KindForeign, Outcomes: OutcomeIDs{RollBack: "BACK"}}
	ref := func(n uint64, op string) manifest.Ref {
		if n == 0 {
			return manifest.Ref{}
		}
		return manifest.Ref{Number: n, Operation: manifest.OperationID(op)}
	}
	p := TablePlan{Table: "t", Expected: ref(e, "OLD"), Number: e + 1}
	var above []manifest.Ref
	for i, w := range owners {
		above = append(above, ref(e+1+uint64(i), map[rune]string{'o': "OP", 'r': "RIVAL", 'b': "BACK"}[w]))
	}
	table := TableObservation{Plan: p, Pin: ref(m, "OLD"), Head: p.Expected, Ownership: Owner(s, above)}
	if n := len(above); n > 0 {
		table.Head, table.Digest = above[n-1], fmt.Sprint("d", above[n-1].Number)
	}
	o := &Observation{Sidecar: s}
	if c != 4 {
		o.Confirmed = &Confirmed{Tables: []Reached{{Table: "t", Number: c, Digest: fmt.Sprint("d", c)}}}
	}
	return o, table
}
