// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

// The specification of what a person's word may do, line by line.
func TestDecideOnWord(t *testing.T) {
	contract.Row(t, 116, 118, 115)
	two := func(a, b TableObservation) []TableObservation { return []TableObservation{a, b} }
	held := &manifest.Lock{Owner: "maintenance/m/1", Mode: manifest.Frozen, Reason: "database restart", Until: time.Unix(100, 0)}
	rival := []Rival{{Operation: "OTHER", Writer: "v", Table: "a"}}
	for _, c := range []struct {
		name   string
		word   Word
		seen   seen
		lock   *manifest.Lock
		rivals []Rival
		may    bool // its epoch may be ended
		want   Decision
		reason Reason
		says   string
	}{
		{"promote, all applied, not confirmed", Promote, seen{ended: true, tables: two(applied("a"), applied("b"))}, nil, nil, false, RollForward, ReasonPromoted, "somebody takes responsibility"},
		{"promote, the writer may be ended", Promote, seen{tables: two(applied("a"), applied("b"))}, nil, nil, true, RollForward, ReasonPromoted, ""},
		{"promote, the writer lives", Promote, seen{tables: two(applied("a"), applied("b"))}, nil, nil, false, Refuse, ReasonWriterLive, "writer w lives, as far as the manifest says: process P holds its epoch 3"},
		{"promote, one version is not there", Promote, seen{ended: true, tables: two(applied("a"), missing("b"))}, nil, nil, false, Refuse, ReasonIncomplete, "there is nothing to publish for table b (tables/b/"},
		{"promote, one version is torn", Promote, seen{ended: true, tables: two(applied("a"), damaged("b"))}, nil, nil, false, Refuse, ReasonIncomplete, "table b"},
		{"promote, another operation leads", Promote, seen{ended: true, tables: two(moved(applied("a")), applied("b"))}, nil, nil, false, Refuse, ReasonPinsMoved, "table a is 2-RIVAL"},
		{"promote, somebody holds the store", Promote, seen{ended: true, tables: two(applied("a"), applied("b"))}, held, nil, false, Refuse, ReasonFrozen, "by maintenance/m/1 (database restart)"},
		{"promote, two candidates", Promote, seen{ended: true, tables: two(applied("a"), applied("b"))}, nil, rival, false, Refuse, ReasonContention, "operation OTHER of writer v pends on table a, too"},
		{"promote, beside what cannot be read", Promote, seen{ended: true, tables: two(applied("a"), applied("b"))}, nil, []Rival{{Operation: "BAD"}}, false, Refuse, ReasonContention, "object recovery/BAD cannot be read"},
		{"promote, older than the memory", Promote, seen{ended: true, forgotten: true, tables: two(applied("a"), applied("b"))}, nil, nil, false, Refuse, ReasonForgotten, "audit trail"},
		{"promote, of another store", Promote, seen{ended: true, foreign: true, tables: two(applied("a"), applied("b"))}, nil, nil, false, Refuse, ReasonForeignStore, ""},
		{"promote, of a kind from the future", Promote, seen{kind: "future", ended: true, tables: two(applied("a"), applied("b"))}, nil, nil, false, Refuse, ReasonUnknownKind, ""},
		{"promote, confirmed: nobody's word is needed", Promote, seen{ended: true, confirmed: true, tables: two(applied("a"), applied("b"))}, nil, nil, false, RollForward, ReasonConfirmed, ""},
		{"promote, confirmed, one version altered", Promote, seen{ended: true, confirmed: true, tables: two(applied("a"), altered("b"))}, nil, nil, false, Refuse, ReasonContradiction, ""},
		{"promote, published", Promote, seen{ended: true, outcome: manifest.KindPublish}, nil, nil, false, Converge, ReasonPublished, ""},
		{"promote, abandoned", Promote, seen{ended: true, outcome: manifest.KindAbandon}, nil, nil, false, Converge, ReasonAbandoned, ""},
		{"promote, seen by readers, all of it", Promote, seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), headed("b", OwnsHead))}, nil, nil, false, RollForward, ReasonPromoted, ""},
		{"promote, seen by readers, half of it", Promote, seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), headed("b", OwnsNone))}, nil, nil, false, Refuse, ReasonIncomplete, ""},
		{"promote, another's commit on top", Promote, seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), headed("b", OwnsForeign))}, nil, nil, false, Refuse, ReasonForeignCommit, ""},

		{"demote, not confirmed", Demote, seen{ended: true, tables: two(applied("a"), applied("b"))}, nil, nil, false, Abandon, ReasonDemoted, "without a word: Abandon"},
		{"demote, confirmed", Demote, seen{ended: true, confirmed: true, tables: two(applied("a"), applied("b"))}, nil, nil, false, Abandon, ReasonDemoted, "without a word: RollForward"},
		{"demote, confirmed, and a version is gone", Demote, seen{ended: true, confirmed: true, tables: two(applied("a"), missing("b"))}, nil, nil, false, Abandon, ReasonDemoted, "without a word: Refuse"},
		{"demote, whoever else pends", Demote, seen{ended: true, tables: two(applied("a"), applied("b"))}, nil, rival, false, Abandon, ReasonDemoted, ""},
		{"demote, the writer lives", Demote, seen{tables: two(applied("a"), applied("b"))}, nil, nil, false, Refuse, ReasonWriterLive, "process P holds its epoch 3"},
		{"demote, somebody holds the store", Demote, seen{ended: true, tables: two(applied("a"), applied("b"))}, held, nil, false, Refuse, ReasonFrozen, "maintenance/m/1"},
		{"demote, readers can see it", Demote, seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), headed("b", OwnsNone))}, nil, nil, false, Refuse, ReasonVisible, "approve the roll-back"},
		{"demote, older than the memory", Demote, seen{ended: true, forgotten: true, tables: two(applied("a"), applied("b"))}, nil, nil, false, Refuse, ReasonForgotten, ""},
		{"no word at all", WordInvalid, seen{ended: true, tables: two(applied("a"), applied("b"))}, nil, nil, false, Refuse, ReasonNotAgreed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.seen.observation()
			o.Sidecar.Epoch, o.Lock, o.Rivals = manifest.Epoch{Number: 3, Process: "P"}, c.lock, c.rivals
			class := Classify(o)
			word := OnWord{Word: c.word, Forward: RollForwardOnly{EndEpoch: c.may}}
			if got := Decide(o, class, Probe{As: word}); got.Decision != c.want || got.Reason != c.reason || !strings.Contains(got.Message, c.says) {
				t.Errorf("a look says %s %s %q", got.Decision, got.Reason, got.Message)
			}
			acts := c.want == RollForward || c.want == Abandon
			for name, agreed := range map[string]OnWord{
				"nobody":      {Agreed: wordHash(o, class, c.word)},
				"to nothing":  {Approver: "ada"},
				"to another":  {Approver: "ada", Agreed: "sha256:other"},
				"another act": {Approver: "ada", Agreed: wordHash(o, class, Demote+Promote-c.word)},
			} {
				agreed.Word, agreed.Forward = word.Word, word.Forward
				if got := Decide(o, class, agreed); acts && got.Reason != ReasonNotAgreed || got.Decision == Abandon || got.Decision == RollForward {
					t.Errorf("agreed %s: %s %s", name, got.Decision, got.Reason)
				}
			}
			word.Approver, word.Agreed = "ada", wordHash(o, class, c.word)
			got := Decide(o, class, word)
			if got.Decision != c.want || got.Reason != c.reason {
				t.Errorf("agreed: %s %s %q", got.Decision, got.Reason, got.Message)
			}
			byWord := c.reason == ReasonPromoted || c.reason == ReasonDemoted
			if by := got.approver(word); (by == "ada") != byWord {
				t.Errorf("the entry names %q", by)
			}
		})
	}
}

// What one agrees to has another name as soon as anything of it is another.
func TestWordHashNamesWhatWasSeen(t *testing.T) {
	contract.Row(t, 116)
	names := map[PlanHash]string{}
	for name, s := range map[string]seen{
		"as it was":            {ended: true, tables: []TableObservation{applied("a")}},
		"confirmed":            {ended: true, confirmed: true, tables: []TableObservation{applied("a")}},
		"a version is gone":    {ended: true, tables: []TableObservation{missing("a")}},
		"another digest":       {ended: true, tables: []TableObservation{altered("a")}},
		"another table":        {ended: true, tables: []TableObservation{applied("b")}},
		"the table moved":      {ended: true, tables: []TableObservation{moved(applied("a"))}},
		"one table more":       {ended: true, tables: []TableObservation{applied("a"), applied("b")}},
		"made again meanwhile": {ended: true, tables: []TableObservation{rebuilt(applied("a"))}},
	} {
		o := s.observation()
		for _, w := range []Word{Demote, Promote} {
			h := wordHash(o, Classify(o), w)
			if other, twice := names[h]; twice || h == "" {
				t.Errorf("%s %s has the name of %s", w, name, other)
			}
			names[h] = w.String() + " " + name
		}
		same := s.observation()
		same.Ended, same.Version = !o.Ended, o.Version+9 // others' publications and fences are no news
		if wordHash(o, Classify(o), Demote) != wordHash(same, Classify(same), Demote) {
			t.Errorf("%s: the hash changes with what does not matter", name)
		}
	}
}

// Every combination of switches, for both words: no invalid answer, and these laws.
func TestDecideOnWordIsTotalAndKeepsItsLaws(t *testing.T) {
	contract.Row(t, 116)
	shapes := []func(string) TableObservation{
		missing, applied, altered, damaged, dropped,
		func(s string) TableObservation { return headed(s, OwnsNone) },
		func(s string) TableObservation { return headed(s, OwnsHead) },
		func(s string) TableObservation { return headed(s, OwnsForeign) },
		func(s string) TableObservation { return headed(s, OwnsBuried) },
		func(s string) TableObservation { return moved(missing(s)) },
		func(s string) TableObservation { return moved(applied(s)) },
	}
	acted := 0
	for _, kind := range []WriterKind{KindCheckpoint, KindLoad, KindForeign, "future"} {
		for bits := range 1 << 7 {
			for _, outcome := range []manifest.Kind{"", manifest.KindPublish, manifest.KindAbandon, manifest.KindRollBack} {
				for i := range shapes {
					for j := range shapes {
						on := func(n int) bool { return bits&(1<<n) != 0 }
						s := seen{kind: kind, confirmed: on(0), ended: on(1), forgotten: on(2), foreign: on(3), outcome: outcome, tables: []TableObservation{shapes[i]("a"), shapes[j]("b")}}
						o := s.observation()
						if on(4) {
							o.Lock = &manifest.Lock{Owner: "M"}
						}
						if on(5) {
							o.Rivals = []Rival{{Operation: "OTHER", Writer: "v", Table: "a"}}
						}
						c := Classify(o)
						for _, w := range []Word{Demote, Promote} {
							a := OnWord{Word: w, Forward: RollForwardOnly{EndEpoch: on(6)}, Approver: "ada", Agreed: wordHash(o, c, w)}
							v := Decide(o, c, a)
							does := v.Decision == RollForward || v.Decision == Abandon
							switch {
							case v.Decision == DecisionInvalid || v.Reason == "" || v.Message == "":
								t.Fatalf("no answer: %s %+v", w, s)
							case v.Decision == Discard || outcome == "" && v.Decision == RollBack:
								t.Fatalf("%s: a word undoes and discards nothing: %+v", w, s)
							case !does:
							case outcome != "" || s.foreign || s.forgotten || o.Lock != nil || !s.ended && !on(6):
								t.Fatalf("%s: it is not for a person to decide: %+v -> %+v", w, s, v)
							case (v.Decision == Abandon) != (w == Demote):
								t.Fatalf("%s became %+v", w, v)
							case w == Promote && (c.Worst != ClassApplied || len(o.Rivals) > 0):
								t.Fatalf("promoted what is not all there, or not alone: %+v", s)
							case w == Demote && TraitsOf(kind).Visible:
								t.Fatalf("closed what readers can see: %+v", s)
							default:
								acted++
							}
							a.Agreed = "sha256:other"
							if v := Decide(o, c, a); v.Decision == RollForward || v.Decision == Abandon {
								t.Fatalf("%s without a word for it: %+v -> %+v", w, s, v)
							}
						}
					}
				}
			}
		}
	}
	if acted == 0 {
		t.Error("nothing was ever done")
	}
}
