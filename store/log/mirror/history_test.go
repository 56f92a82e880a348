// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mirror

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/store/log"
	"github.com/salvor-io/salvor/test/contract"
)

// inventory is written as people write it:
//
//	begin 5 after 3@955       epoch 5 goes on from epoch 3 behind position 955
//	begin 3 fresh@0           epoch 3 goes on from the checkpoints at 0
//	3:1-400                   a range of epoch 3
//	shot 3@811                a snapshot of epoch 3
//	bad 4                     the beginning of epoch 4 cannot be read
func inventory(t *testing.T, text string) *Inventory {
	t.Helper()
	inv := &Inventory{Store: "s", Writer: "w", Begins: map[uint64]Begin{}, Bad: map[uint64]error{}, Bytes: map[string]int64{}, Parts: map[string][]string{}}
	for word := range strings.SplitSeq(text, ", ") {
		var e, c uint64
		var f, l log.Position
		if n, _ := fmt.Sscanf(word, "begin %d after %d@%d", &e, &c, &f); n == 3 {
			inv.Begins[e] = Begin{Epoch: e, Process: fmt.Sprint("P", e), Position: f, Continues: c}
		} else if n, _ := fmt.Sscanf(word, "begin %d fresh@%d", &e, &f); n == 2 {
			inv.Begins[e] = Begin{Epoch: e, Process: fmt.Sprint("P", e), Position: f}
		} else if n, _ := fmt.Sscanf(word, "shot %d@%d", &e, &f); n == 2 {
			inv.Snapshots = append(inv.Snapshots, SnapshotName{Position: f, Epoch: e})
		} else if n, _ := fmt.Sscanf(word, "bad %d", &e); n == 1 {
			inv.Bad[e] = &ObjectError{BeginKey("w", e), Damaged, errors.New("bad")}
		} else if n, _ := fmt.Sscanf(word, "%d:%d-%d", &e, &f, &l); n == 3 {
			inv.Ranges = append(inv.Ranges, Name{e, f, l})
		} else if word != "" {
			t.Fatalf("what is %q?", word)
		}
	}
	inv.sort()
	return inv
}

// told is a history in words.
func told(h History) string {
	var out []string
	for _, p := range h.Parts {
		words := fmt.Sprintf("%d(%d..%d)", p.Epoch, p.From, p.To)
		for _, n := range p.Ranges {
			words += fmt.Sprintf(" %d-%d", n.First, n.Last)
		}
		out = append(out, words)
	}
	for _, s := range h.Snapshots {
		out = append(out, fmt.Sprintf("shot %d@%d", s.Epoch, s.Position))
	}
	return strings.Join(out, ", ")
}

// Which ranges of which epochs are the history.
func TestDecide(t *testing.T) {
	contract.Row(t, 59)
	for name, c := range map[string]struct{ has, want, wrong string }{
		"nothing":               {"", "", ""},
		"nothing yet":           {"begin 1 fresh@0", "1(0..0)", ""},
		"one epoch":             {"begin 1 fresh@0, 1:1-5, 1:6-9", "1(0..9) 1-5 6-9", ""},
		"behind checkpoints":    {"begin 4 fresh@50, 4:51-60", "4(50..60) 51-60", ""},
		"two epochs":            {"begin 1 fresh@0, 1:1-5, begin 2 after 1@5, 2:6-9", "1(0..5) 1-5, 2(5..9) 6-9", ""},
		"the successor is idle": {"begin 1 fresh@0, 1:1-5, begin 2 after 1@5", "1(0..5) 1-5, 2(5..5)", ""},
		"a fenced process writes on": {
			"begin 1 fresh@0, 1:1-5, 1:6-7, 1:8-20, begin 2 after 1@5, 2:6-9", "1(0..5) 1-5, 2(5..9) 6-9", ""},
		"a fenced process writes on, and its successor nothing": {
			"begin 1 fresh@0, 1:1-5, 1:6-7, begin 2 after 1@5", "1(0..5) 1-5, 2(5..5)", ""},
		"a range landed late": {
			"begin 1 fresh@0, 1:1-5, 1:6-30, begin 2 after 1@5, 2:6-9, begin 3 after 2@9", "1(0..5) 1-5, 2(5..9) 6-9, 3(9..9)", ""},
		"one that was overtaken begins late": {
			"begin 1 fresh@0, 1:1-5, begin 2 after 1@4, 2:5-9, begin 3 after 1@5, 3:6-6", "1(0..5) 1-5, 3(5..6) 6-6", ""},
		"begun anew: what was before is covered": {
			"begin 1 fresh@0, 1:1-5, begin 2 fresh@7, 2:8-9", "2(7..9) 8-9", ""},
		"positions were published before they were mirrored": {
			"begin 1 fresh@0, 1:1-5, 1:9-12", "1(0..12) 1-5 9-12", ""},
		"the older beginning was collected": {
			"1:4-5, begin 2 after 1@5, 2:6-9", "1(0..5) 4-5, 2(5..9) 6-9", ""},
		"all of the older epoch was collected": {
			"begin 2 after 1@5, 2:6-9", "1(0..5), 2(5..9) 6-9", ""},
		"a snapshot": {
			"begin 1 fresh@0, 1:1-5, 1:6-9, shot 1@5", "1(0..9) 1-5 6-9, shot 1@5", ""},
		"a snapshot whose ranges were collected": {
			"begin 1 fresh@0, shot 1@9", "1(0..9), shot 1@9", ""},
		"the newest snapshot first": {
			"begin 1 fresh@0, 1:1-9, shot 1@5, shot 1@9", "1(0..9) 1-9, shot 1@9, shot 1@5", ""},
		"a snapshot of an epoch whose beginning was collected": {
			"shot 1@5, begin 2 after 1@5, 2:6-9", "1(0..5), 2(5..9) 6-9, shot 1@5", ""},
		"a fenced process makes a snapshot": {
			"begin 1 fresh@0, 1:1-5, 1:6-8, shot 1@8, begin 2 after 1@5, 2:6-9", "1(0..5) 1-5, 2(5..9) 6-9", ""},
		"two histories have a snapshot at one position": {
			"begin 1 fresh@0, 1:1-5, 1:6-8, shot 1@8, begin 2 after 1@5, 2:6-9, shot 2@8", "1(0..5) 1-5, 2(5..9) 6-9, shot 2@8", ""},
		"an overtaken process's snapshot": {
			"begin 1 fresh@0, 1:1-5, begin 2 after 1@5, shot 2@5, begin 3 after 1@5", "1(0..5) 1-5, 3(5..5)", ""},
		"the newest beginning is gone":    {"begin 1 fresh@0, 1:1-5, 2:6-9", "", "Missing"},
		"all beginnings are gone":         {"1:1-5", "", "Missing"},
		"a snapshot without a beginning":  {"shot 1@5", "", "Missing"},
		"the newest beginning is damaged": {"begin 1 fresh@0, 1:1-5, bad 2", "", "Damaged"},
		"a needed beginning is damaged":   {"bad 1, 1:1-5, begin 2 after 1@5", "", "Damaged"},
		"one that nobody needs is damaged": {
			"begin 1 fresh@0, 1:1-5, bad 2, begin 3 after 1@5", "1(0..5) 1-5, 3(5..5)", ""},
		"ranges overlap":                   {"begin 1 fresh@0, 1:1-5, 1:5-9", "", "Foreign"},
		"a range from before its epoch":    {"begin 1 fresh@7, 1:6-9", "", "Foreign"},
		"a hole is not looked for":         {"begin 1 fresh@0, 1:1-5, 1:8-9", "1(0..9) 1-5 8-9", ""},
		"the end is not there any more":    {"begin 1 fresh@0, 1:1-3, begin 2 after 1@5, 2:6-9", "1(0..5) 1-3, 2(5..9) 6-9", ""},
		"nobody is passed over in a chain": {"begin 1 fresh@0, 1:1-2, begin 3 after 1@2, 3:3-3, begin 7 after 3@3, 7:4-4", "1(0..2) 1-2, 3(2..3) 3-3, 7(3..4) 4-4", ""},
	} {
		h, err := Decide(inventory(t, c.has))
		var object *ObjectError
		switch {
		case c.wrong != "" && (!errors.As(err, &object) || string(object.Defect) != c.wrong):
			t.Errorf("%s: %v, want %s", name, err, c.wrong)
		case c.wrong == "" && (err != nil || told(h) != c.want):
			t.Errorf("%s: %q (%v), want %q", name, told(h), err, c.want)
		}
	}
}

// Where a restore begins, and what it reads.
func TestPlan(t *testing.T) {
	contract.Row(t, 59)
	for name, c := range map[string]struct {
		has     string
		covered log.Position
		upTo    log.Position
		passed  []SnapshotName
		want    string
	}{
		"everything":                     {"begin 1 fresh@0, 1:1-5, 1:6-9", 0, 9, nil, "0: 1-5 6-9"},
		"behind the checkpoints":         {"begin 1 fresh@0, 1:1-5, 1:6-9", 5, 9, nil, "5: 6-9"},
		"a range is entered":             {"begin 1 fresh@0, 1:1-5, 1:6-9", 7, 9, nil, "7: 6-9"},
		"the checkpoints have it":        {"begin 1 fresh@0, 1:1-5, 1:6-9", 9, 9, nil, "9:"},
		"up to where the log begins":     {"begin 1 fresh@0, 1:1-5, 1:6-9", 0, 4, nil, "0: 1-5"},
		"the newest snapshot":            {"begin 1 fresh@0, 1:1-5, shot 1@3, shot 1@5, 1:6-9", 0, 9, nil, "1@5: 6-9"},
		"checkpoints newer than that":    {"begin 1 fresh@0, 1:1-5, shot 1@5, 1:6-9", 6, 9, nil, "6: 6-9"},
		"a snapshot is of no use":        {"begin 1 fresh@0, 1:1-5, shot 1@3, shot 1@5, 1:6-9", 0, 9, []SnapshotName{{5, 1}}, "1@3: 1-5 6-9"},
		"no snapshot is of use":          {"begin 1 fresh@0, 1:1-5, shot 1@5, 1:6-9", 0, 9, []SnapshotName{{5, 1}}, "0: 1-5 6-9"},
		"nothing older is there":         {"begin 1 fresh@0, shot 1@5, 1:6-9", 0, 9, []SnapshotName{{5, 1}}, "hole 1-5"},
		"a hole":                         {"begin 1 fresh@0, 1:1-5, 1:8-9", 0, 9, nil, "hole 6-7"},
		"a hole that is covered":         {"begin 1 fresh@0, 1:1-5, 1:8-9", 7, 9, nil, "7: 8-9"},
		"a hole that a snapshot covers":  {"begin 1 fresh@0, 1:1-5, 1:8-9, shot 1@8", 0, 9, nil, "1@8: 8-9"},
		"a hole behind what is wanted":   {"begin 1 fresh@0, 1:1-5, 1:8-9", 0, 5, nil, "0: 1-5"},
		"a hole where epochs meet":       {"begin 1 fresh@0, 1:1-3, begin 2 after 1@5, 2:6-9", 0, 9, nil, "hole 4-5"},
		"the end is missing":             {"begin 1 fresh@0, 1:1-5, begin 2 after 1@9", 0, 9, nil, "hole 6-9"},
		"checkpoints that went back":     {"begin 1 fresh@50, 1:51-60", 40, 60, nil, "hole 41-50"},
		"what is not the history is not": {"begin 1 fresh@0, 1:1-5, 1:6-9, begin 2 after 1@5, 2:6-6", 0, 6, nil, "0: 1-5 6-6"},
	} {
		h, err := Decide(inventory(t, c.has))
		if err != nil {
			t.Fatal(err)
		}
		p, err := h.Plan(c.covered, c.upTo, c.passed...)
		got := fmt.Sprintf("%d:", p.At)
		if p.Base != nil {
			got = fmt.Sprintf("%d@%d:", p.Base.Epoch, p.Base.Position)
		}
		for _, n := range p.Ranges {
			got += fmt.Sprintf(" %d-%d", n.First, n.Last)
		}
		var hole *HoleError
		if errors.As(err, &hole) {
			got = fmt.Sprintf("hole %d-%d", hole.First, hole.Last)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// How a new epoch takes the history over.
func TestJoin(t *testing.T) {
	contract.Row(t, 59)
	for name, c := range map[string]struct {
		has            string
		covered, first log.Position
		broken         bool
		want           string
	}{
		"nothing was mirrored":             {"", 0, 1, false, "fresh@0"},
		"nothing was mirrored, published":  {"", 7, 5, false, "fresh@7"},
		"on":                               {"begin 1 fresh@0, 1:1-5", 0, 1, false, "1@5 tip"},
		"on an empty disk":                 {"begin 1 fresh@0, 1:1-5", 0, 0, false, "1@5 tip"},
		"on, partly published":             {"begin 1 fresh@0, 1:1-5", 3, 2, false, "1@5 tip"},
		"all is published":                 {"begin 1 fresh@0, 1:1-5", 5, 2, false, "fresh@5"},
		"published further":                {"begin 1 fresh@0, 1:1-5", 9, 2, false, "fresh@9"},
		"of no use":                        {"begin 1 fresh@0, 1:1-5", 3, 2, true, "fresh@3"},
		"behind a snapshot":                {"begin 1 fresh@0, shot 1@5", 0, 0, false, "1@5"},
		"an epoch that added nothing":      {"begin 1 fresh@0, 1:1-5, begin 2 after 1@5", 0, 1, false, "1@5"},
		"an epoch that added a snapshot":   {"1:5-5, begin 2 after 1@5, shot 2@5, begin 3 after 2@5", 0, 1, false, "2@5"},
		"several that added nothing":       {"begin 1 fresh@0, 1:1-5, begin 2 after 1@5, begin 3 after 2@5", 0, 1, false, "1@5"},
		"not those that were passed over":  {"begin 1 fresh@0, 1:1-5, 1:6-9, begin 2 after 1@5", 0, 1, false, "1@5"},
		"the log goes on where it was cut": {"begin 1 fresh@0, 1:1-5", 0, 6, false, "1@5 tip"},
	} {
		h, err := Decide(inventory(t, c.has))
		if err != nil {
			t.Fatal(err)
		}
		j := h.Join(c.covered, c.first, c.broken)
		got := fmt.Sprintf("fresh@%d", j.Position)
		if j.Continues > 0 {
			got = fmt.Sprintf("%d@%d", j.Continues, j.Position)
		}
		if j.Tip != nil {
			got += " tip"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// What goes: never what a restore could need that begins with the state, or with a newer one.
func TestGarbage(t *testing.T) {
	contract.Row(t, 59)
	for name, c := range map[string]struct {
		has     string
		join    Join
		covered log.Position
		want    string
	}{
		"nothing is covered": {"begin 1 fresh@0, 1:1-5, 1:6-9", Join{Position: 9, Continues: 1}, 0, ""},
		"checkpoints cover":  {"begin 1 fresh@0, 1:1-5, 1:6-9", Join{Position: 9, Continues: 1}, 8, "1:1-5"},
		"they cover all":     {"begin 1 fresh@0, 1:1-5, 1:6-9", Join{Position: 9, Continues: 1}, 9, "1:1-5 1:6-9 begin1"},
		"a snapshot does": {
			"begin 1 fresh@0, 1:1-5, shot 1@3, shot 1@5, 1:6-9", Join{Position: 9, Continues: 1}, 0, "1:1-5 shot3"},
		"the beginning that a snapshot hangs on": {
			"begin 1 fresh@0, 1:1-5, shot 1@5, begin 2 after 1@5, begin 3 after 2@5, 3:6-6", Join{Position: 6, Continues: 3}, 0, "1:1-5 begin1"},
		"checkpoints pass the snapshot": {
			"begin 1 fresh@0, 1:1-5, shot 1@5, 1:6-9", Join{Position: 9, Continues: 1}, 7, "1:1-5 shot5"},
		"another history": {
			"begin 1 fresh@0, 1:1-5, 1:6-8, begin 2 after 1@5, 2:6-9", Join{Position: 9, Continues: 2}, 0, "1:6-8"},
		"an overtaken one": {
			"begin 1 fresh@0, 1:1-5, begin 2 after 1@5, shot 2@5, begin 3 after 1@5, 3:6-9", Join{Position: 9, Continues: 3}, 0, "shot5 begin2"},
		"begun anew, not yet covered": {"begin 1 fresh@0, 1:1-5, 1:8-9", Join{Position: 7}, 6, ""},
		"begun anew, covered":         {"begin 1 fresh@0, 1:1-5, 1:8-9", Join{Position: 7}, 7, "1:1-5 1:8-9 begin1"},
	} {
		inv := inventory(t, c.has)
		h, err := Decide(inv)
		if err != nil {
			t.Fatal(err)
		}
		m := &Mirror{opt: Options{Epoch: 9, Writer: "w"}}
		m.adopt(inv, h, c.join)
		keys, _ := m.garbage(m.newest(c.covered), "w", c.join.Position)
		var got []string
		for _, key := range keys {
			if n, ok := parseRange("w", key); ok {
				got = append(got, fmt.Sprintf("%d:%d-%d", n.Epoch, n.First, n.Last))
			} else if s, ok := parseSnapshot("w", key); ok {
				got = append(got, fmt.Sprintf("shot%d", s.Position))
			} else if e, ok := parseBegin("w", key); ok {
				got = append(got, fmt.Sprintf("begin%d", e))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
