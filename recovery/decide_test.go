// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/test/contract"
)

// seen builds an observation from a sentence of switches.
type seen struct {
	kind      WriterKind
	confirmed bool
	ended     bool
	forgotten bool
	outcome   manifest.Kind
	by        manifest.Role // that decided it; empty: its own writer
	foreign   bool
	restored  bool // the roll-back has ended
	blind     bool // there is no format to look with
	tables    []TableObservation
}

// headed is a table whose readers follow its head: two versions are pinned, and what
// lies above them is whose the ownership says.
func headed(table string, own Ownership) TableObservation {
	o := at(table, own == OwnsHead, "")
	o.Ownership, o.Head = own, o.Pin
	switch own {
	case OwnsHead:
		o.Head, o.Digest = manifest.Ref{Number: 2, Operation: "OP"}, "d-"+table
	case OwnsForeign:
		o.Head = manifest.Ref{Number: 2, Operation: "RIVAL"}
	case OwnsBuried:
		o.Head = manifest.Ref{Number: 3, Operation: "RIVAL"}
	case OwnsCompensated:
		o.Head = manifest.Ref{Number: 3, Operation: "BACK"}
	}
	return o
}

func at(table string, present bool, digest string) TableObservation {
	return TableObservation{
		Plan: TablePlan{Table: manifest.TableID(table), Expected: manifest.Ref{Number: 1, Operation: "OLD"}, Number: 2},
		Pin:  manifest.Ref{Number: 1, Operation: "OLD"}, Present: present, Digest: digest,
	}
}

func applied(table string) TableObservation { return at(table, true, "d-"+table) }
func missing(table string) TableObservation { return at(table, false, "") }
func altered(table string) TableObservation { return at(table, true, "other") }
func moved(o TableObservation) TableObservation {
	o.Pin = manifest.Ref{Number: 2, Operation: "RIVAL"}
	return o
}

func rivalled(o TableObservation) TableObservation { o.Rival = "RIVAL"; return o }

// undoneBefore is a table that the operation makes, and that another had made and undone.
func undoneBefore(table string) TableObservation {
	o := headed(table, OwnsForeign)
	o.Plan.Expected, o.Pin, o.Plan.Number, o.Gone = manifest.Ref{}, manifest.Ref{}, 1, true
	o.Head = manifest.Ref{Number: 1, Operation: "RIVAL-BACK"}
	return o
}

// rebuilt is a table that was deleted and made again with the same number: only
// the operation tells.
func rebuilt(o TableObservation) TableObservation {
	o.Pin = manifest.Ref{Number: 1, Operation: "RIVAL"}
	return o
}
func dropped(table string) TableObservation {
	o := missing(table)
	o.Plan.Drop, o.Plan.Number = true, 0
	return o
}
func damaged(table string) TableObservation {
	o := at(table, true, "")
	o.Damaged = "no header line"
	return o
}

func (s seen) observation() *Observation {
	if s.kind == "" {
		s.kind = KindCheckpoint
	}
	o := &Observation{
		Sidecar:  &Sidecar{Store: "uid", Operation: "OP", Attempt: "AT", Writer: "w", Kind: s.kind, Base: 3},
		NoFormat: s.blind, ForeignStore: s.foreign, Version: 5, Known: !s.forgotten, Ended: s.ended, Tables: s.tables,
	}
	for _, t := range s.tables {
		o.Sidecar.Tables = append(o.Sidecar.Tables, t.Plan)
	}
	if s.confirmed {
		o.Confirmed = &Confirmed{}
		for _, t := range s.tables {
			if !t.Plan.Drop {
				o.Confirmed.Tables = append(o.Confirmed.Tables, Reached{t.Plan.Table, t.Plan.Number, "d-" + string(t.Plan.Table)})
			}
		}
	}
	if s.outcome != "" {
		o.Outcome = &manifest.Outcome{Operation: "OP", Kind: s.outcome, Version: 4, By: manifest.Publisher{Role: manifest.RoleWriter, Writer: "w"}}
		if s.by != "" {
			o.Outcome.By = manifest.Publisher{Role: s.by}
		}
		if s.restored {
			o.Outcome.Restored = 6
		}
	}
	return o
}

// The specification of the crash table, line by line.
func TestDecide(t *testing.T) {
	contract.Row(t, 70, 72)
	two := func(a, b TableObservation) []TableObservation { return []TableObservation{a, b} }
	for _, c := range []struct {
		name   string
		seen   seen
		phase  Phase
		want   Decision
		reason Reason
	}{
		{"armed, nothing applied", seen{ended: true, tables: two(missing("a"), missing("b"))}, PhaseArmed, Abandon, ReasonIncomplete},
		{"part applied", seen{ended: true, tables: two(applied("a"), missing("b"))}, PhasePartlyApplied, Abandon, ReasonIncomplete},
		{"all applied, not confirmed", seen{ended: true, tables: two(applied("a"), applied("b"))}, PhaseApplied, Abandon, ReasonNotConfirmed},
		{"confirmed", seen{ended: true, confirmed: true, tables: two(applied("a"), applied("b"))}, PhaseConfirmed, RollForward, ReasonConfirmed},
		{"confirmed, with a drop", seen{ended: true, confirmed: true, tables: two(applied("a"), dropped("b"))}, PhaseConfirmed, RollForward, ReasonConfirmed},
		{"only drops, not confirmed", seen{ended: true, tables: two(dropped("a"), dropped("b"))}, PhaseApplied, Abandon, ReasonNotConfirmed},
		{"strict, all applied", seen{kind: KindLoad, ended: true, tables: two(applied("a"), applied("b"))}, PhaseApplied, RollForward, ReasonComplete},
		{"strict, part applied", seen{kind: KindLoad, ended: true, tables: two(applied("a"), missing("b"))}, PhasePartlyApplied, Abandon, ReasonIncomplete},
		{"loose, all applied", seen{kind: KindCompaction, ended: true, tables: two(applied("a"), applied("b"))}, PhaseApplied, RollForward, ReasonComplete},

		{"one table moved, not confirmed", seen{ended: true, tables: two(applied("a"), moved(missing("b")))}, PhasePartlyApplied, Abandon, ReasonPinsMoved},
		{"one table moved, confirmed", seen{ended: true, confirmed: true, tables: two(applied("a"), moved(applied("b")))}, PhaseConfirmed, Abandon, ReasonPinsMoved},
		{"one table deleted and made again at the same number", seen{ended: true, confirmed: true, tables: two(applied("a"), rebuilt(applied("b")))}, PhaseConfirmed, Abandon, ReasonPinsMoved},
		{"moved and gone", seen{ended: true, confirmed: true, tables: two(applied("a"), moved(missing("b")))}, PhaseConfirmed, Abandon, ReasonPinsMoved},

		{"confirmed, one version gone", seen{ended: true, confirmed: true, tables: two(applied("a"), missing("b"))}, PhaseConfirmed, Refuse, ReasonContradiction},
		{"confirmed, one version altered", seen{ended: true, confirmed: true, tables: two(applied("a"), altered("b"))}, PhaseConfirmed, Refuse, ReasonContradiction},
		{"confirmed, one version damaged", seen{ended: true, confirmed: true, tables: two(applied("a"), damaged("b"))}, PhaseConfirmed, Refuse, ReasonContradiction},
		{"not confirmed, one version damaged", seen{ended: true, tables: two(applied("a"), damaged("b"))}, PhaseApplied, Abandon, ReasonIncomplete},
		{"strict, one version damaged", seen{kind: KindLoad, ended: true, tables: two(applied("a"), damaged("b"))}, PhaseApplied, Abandon, ReasonIncomplete},
		{"a contradiction beats a moved table", seen{ended: true, confirmed: true, tables: two(altered("a"), moved(applied("b")))}, PhaseConfirmed, Refuse, ReasonContradiction},

		{"published", seen{ended: true, outcome: manifest.KindPublish}, PhaseDecided, Converge, ReasonPublished},
		{"abandoned", seen{ended: true, outcome: manifest.KindAbandon}, PhaseDecided, Converge, ReasonAbandoned},
		{"published by a live writer", seen{outcome: manifest.KindPublish}, PhaseDecided, Converge, ReasonPublished},
		{"decided, of a kind from the future", seen{kind: "future", outcome: manifest.KindPublish}, PhaseDecided, Converge, ReasonPublished},
		{"of a kind from the future", seen{kind: "future", ended: true, tables: two(applied("a"), applied("b"))}, PhaseApplied, Refuse, ReasonUnknownKind},
		{"of another store", seen{foreign: true, ended: true, confirmed: true, tables: two(applied("a"), applied("b"))}, PhaseConfirmed, Refuse, ReasonForeignStore},
		{"older than the memory", seen{forgotten: true, ended: true, tables: two(applied("a"), applied("b"))}, PhaseApplied, Discard, ReasonForgotten},

		{"visible, armed, nothing applied: a late effect may still come", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsNone), headed("b", OwnsNone))}, PhaseArmed, RollBack, ReasonVisible},
		{"visible, part applied", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), headed("b", OwnsNone))}, PhasePartlyApplied, RollBack, ReasonVisible},
		{"visible, all applied, not confirmed", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), headed("b", OwnsHead))}, PhaseApplied, RollBack, ReasonVisible},
		{"visible, confirmed", seen{kind: KindForeign, ended: true, confirmed: true, tables: two(headed("a", OwnsHead), headed("b", OwnsHead))}, PhaseConfirmed, RollForward, ReasonConfirmed},
		{"visible, one table moved, which has nothing of it", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), moved(headed("b", OwnsForeign)))}, PhasePartlyApplied, RollBack, ReasonVisible},
		{"visible, another's commit above the pin", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), headed("b", OwnsForeign))}, PhasePartlyApplied, Refuse, ReasonForeignCommit},
		{"visible, another's commit above its own", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsBuried), headed("b", OwnsNone))}, PhasePartlyApplied, Refuse, ReasonBuried},
		{"visible, another's published commit above its own", seen{kind: KindForeign, ended: true, tables: two(moved(headed("a", OwnsBuried)), headed("b", OwnsNone))}, PhasePartlyApplied, Refuse, ReasonBuried},
		{"visible, another's operation is under way above", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), rivalled(headed("b", OwnsForeign)))}, PhasePartlyApplied, Defer, ReasonContention},
		{"visible, a table that another made and undid", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsHead), undoneBefore("b"))}, PhasePartlyApplied, RollBack, ReasonVisible},
		{"visible, undone, and nobody decided that", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsCompensated), headed("b", OwnsNone))}, PhaseArmed, Refuse, ReasonContradiction},
		{"visible, whose it is cannot be told", seen{kind: KindForeign, ended: true, tables: two(headed("a", OwnsUnverifiable), headed("b", OwnsNone))}, PhaseArmed, Refuse, ReasonContradiction},
		{"visible, and no format that can look", seen{kind: KindForeign, ended: true, blind: true}, PhaseArmed, Refuse, ReasonUnknownFormat},
		{"its roll-back is decided", seen{kind: KindForeign, ended: true, outcome: manifest.KindRollBack}, PhaseDecided, RollBack, ReasonRestoring},
		{"its roll-back has ended", seen{kind: KindForeign, ended: true, outcome: manifest.KindRollBack, restored: true}, PhaseDecided, Converge, ReasonRolledBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.seen.observation()
			class := Classify(o)
			for _, a := range []Authority{RollForwardOnly{EndEpoch: true}, RollForwardOnly{}, Exclusive{Forward: RollForwardOnly{EndEpoch: true}}, Exclusive{}} {
				got := Decide(o, class, a)
				if class.Phase != c.phase || got.Decision != c.want || got.Reason != c.reason || got.Message == "" {
					t.Errorf("%#v: %s %s %s %q", a, class.Phase, got.Decision, got.Reason, got.Message)
				}
			}
		})
	}
}

// What a live writer has decided is its own to clean up, for whoever leaves it so.
func TestDecideLeavesALiveWriterWhatItHasDecided(t *testing.T) {
	contract.Row(t, 91)
	for _, c := range []struct {
		name string
		seen seen
		want Decision
	}{
		{"published by its live writer", seen{outcome: manifest.KindPublish}, Defer},
		{"abandoned by its live writer", seen{outcome: manifest.KindAbandon}, Defer},
		{"published by a writer whose epoch is ended", seen{ended: true, outcome: manifest.KindPublish}, Converge},
		{"published by recovery: its writer leaves the sidecar", seen{outcome: manifest.KindPublish, by: manifest.RoleRecovery}, Converge},
		{"of another store", seen{foreign: true, outcome: manifest.KindPublish}, Refuse},
	} {
		o := c.seen.observation()
		got := Decide(o, Classify(o), RollForwardOnly{LeaveDecided: true})
		if got.Decision != c.want || got.Decision == Defer && got.Reason != ReasonWriterLive {
			t.Errorf("%s: %+v, want %s", c.name, got, c.want)
		}
		if got := Decide(o, Classify(o), RollForwardOnly{}); got.Decision == Defer {
			t.Errorf("%s: %+v for one who need not leave it", c.name, got)
		}
	}
}

// Every combination of switches: no panic, no invalid answer, and these laws.
func TestDecideIsTotalAndKeepsItsLaws(t *testing.T) {
	contract.Row(t, 70, 72)
	shapes := []func(string) TableObservation{
		missing, applied, altered, damaged, dropped,
		func(s string) TableObservation { return headed(s, OwnsNone) },
		func(s string) TableObservation { return headed(s, OwnsHead) },
		func(s string) TableObservation { return headed(s, OwnsForeign) },
		func(s string) TableObservation { return headed(s, OwnsBuried) },
		func(s string) TableObservation { return headed(s, OwnsCompensated) },
		func(s string) TableObservation { return headed(s, OwnsUnverifiable) },
		func(s string) TableObservation { return moved(missing(s)) },
		func(s string) TableObservation { return moved(applied(s)) },
		func(s string) TableObservation { return rebuilt(applied(s)) },
	}
	n := 0
	for _, kind := range []WriterKind{KindCheckpoint, KindLoad, KindCompaction, KindRebuild, KindForeign, "future"} {
		for bits := range 1 << 5 {
			for _, outcome := range []manifest.Kind{"", manifest.KindPublish, manifest.KindAbandon, manifest.KindRollBack} {
				for i := range shapes {
					for j := range shapes {
						s := seen{
							kind: kind, confirmed: bits&1 != 0, ended: bits&2 != 0, forgotten: bits&4 != 0, foreign: bits&8 != 0,
							outcome: outcome, tables: []TableObservation{shapes[i]("a"), shapes[j]("b")},
						}
						o := s.observation()
						c, auth := Classify(o), RollForwardOnly{EndEpoch: bits&16 != 0}
						checkLaws(t, s, o, c, auth, Decide(o, c, auth))
						n++
					}
				}
			}
		}
	}
	t.Logf("%d observations", n)
}

func checkLaws(t *testing.T, s seen, o *Observation, c Classification, auth RollForwardOnly, v Verdict) {
	t.Helper()
	bad := func(law string) { t.Helper(); t.Errorf("%s: %+v: %+v -> %+v", law, s, c, v) }
	if v.Decision == DecisionInvalid || v.Reason == "" || v.Message == "" {
		bad("every verdict has a decision, a reason and a sentence")
	}
	if v.Decision == RollForward {
		for _, table := range o.Tables {
			if !table.Present && !table.Plan.Drop || table.Pin != table.Plan.Expected || table.Damaged != "" {
				bad("nothing goes forward unless every table may")
			}
		}
		if TraitsOf(s.kind).Mode == ModeConfirmed && !s.confirmed {
			bad("a confirmed kind goes forward only confirmed")
		}
	}
	if acts := v.Decision == RollForward || v.Decision == Abandon || v.Decision == Discard || v.Decision == RollBack; acts {
		if s.outcome != "" && (s.outcome != manifest.KindRollBack || v.Decision != RollBack) {
			bad("a decided operation is not decided again")
		}
		if !s.ended && !auth.EndEpoch && s.outcome == "" {
			bad("a live writer's operation is left alone")
		}
		if s.foreign {
			bad("another store's operation is left alone")
		}
	}
	if v.Decision == RollBack && !TraitsOf(s.kind).Visible && s.outcome == "" {
		bad("what nobody sees is not rolled back")
	}
	if !TraitsOf(s.kind).Visible || s.outcome != "" {
		return
	}
	if v.Decision == Abandon {
		bad("what readers can see is not abandoned")
	}
	for _, table := range o.Tables {
		if v.Decision == RollForward && table.Ownership != OwnsHead && !table.Plan.Drop {
			bad("what readers follow goes forward only when the newest version is the operation's")
		}
		foreign := table.Ownership == OwnsForeign && table.Pin == table.Plan.Expected
		if (v.Decision == RollBack || v.Decision == RollForward) && !table.Plan.Drop && (foreign || table.Ownership == OwnsBuried) {
			bad("nothing is undone or published where another's commit lies above the pin")
		}
	}
}

func TestSidecarNamesTheMissingField(t *testing.T) {
	contract.Row(t, 68)
	good := func() *Sidecar {
		o := seen{tables: []TableObservation{applied("a")}}.observation().Sidecar
		o.Epoch, o.Started = manifest.Epoch{Number: 1, Process: "P"}, time.Unix(1, 0)
		o.Outcomes = OutcomeIDs{"1", "2", "3"}
		return o
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*Sidecar){
		"store":           func(s *Sidecar) { s.Store = "" },
		"operation":       func(s *Sidecar) { s.Operation = "a.b" },
		"attempt":         func(s *Sidecar) { s.Attempt = "" },
		"writer":          func(s *Sidecar) { s.Writer = "" },
		"epoch.number":    func(s *Sidecar) { s.Epoch.Number = 0 },
		"epoch.process":   func(s *Sidecar) { s.Epoch.Process = "" },
		"kind":            func(s *Sidecar) { s.Kind = "" },
		"started":         func(s *Sidecar) { s.Started = time.Time{} },
		"tables ":         func(s *Sidecar) { s.Tables = nil },
		"outcomes":        func(s *Sidecar) { s.Outcomes.RollBack = "" },
		"tables[0].table": func(s *Sidecar) { s.Tables[0].Table = ".." },
		"tables[0].number": func(s *Sidecar) {
			s.Tables[0].Number = s.Tables[0].Expected.Number
		},
		"tables[1].table": func(s *Sidecar) { s.Tables = append(s.Tables, s.Tables[0]) },
	} {
		s := good()
		spoil(s)
		_, err := EncodeSidecar(s)
		if err == nil || !strings.Contains(err.Error(), "field "+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func ExampleDecide() {
	o := seen{ended: true, confirmed: true, tables: []TableObservation{applied("orders"), applied("customers")}}.observation()
	v := Decide(o, Classify(o), RollForwardOnly{EndEpoch: true})
	fmt.Println(v.Decision, "-", v.Message)
	// Output: RollForward - every table version is there and confirmed
}
