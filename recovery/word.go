// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/envelope"
)

// Word is what a person says about an operation that its writer left, where recovery
// decides otherwise, or refuses to.
type Word uint8

const (
	// WordInvalid is the zero value: nobody has said anything.
	WordInvalid Word = iota
	// Demote: the operation will never be visible, confirmed or not.
	Demote
	// Promote: the operation is published, although nobody confirmed it.
	Promote
)

// String returns the word.
func (w Word) String() string {
	switch w {
	case Demote:
		return "Demote"
	case Promote:
		return "Promote"
	default:
		return fmt.Sprintf("Word(%d)", uint8(w))
	}
}

// OnWord is the authority of a person's word about one operation, as that person has
// looked at it. It decides by the entries that recovery has, under the same fence: it
// restores nothing, and publishes nothing that is not there.
type OnWord struct {
	Word Word
	// Forward is what its holder may do besides.
	Forward RollForwardOnly
	// Agreed is the report's PlanHash of what was looked at. Of another state it is
	// nobody's word.
	Agreed PlanHash
	// Approver is whose word it is. The entry and the audit row name them. Required.
	Approver string
}

func (OnWord) authority() {}

// asWord returns the word in an authority; looks: it is only looked at.
func asWord(a Authority) (w OnWord, looks, is bool) {
	if p, ok := a.(Probe); ok {
		w, is = p.As.(OnWord)
		return w, true, is
	}
	w, is = a.(OnWord)
	return w, false, is
}

// Rival is another unfinished operation of a table.
type Rival struct {
	Operation manifest.OperationID
	Writer    manifest.WriterID
	Table     manifest.TableID
}

// decideOnWord is Decide for an undecided operation of a known kind and of this store,
// when a person speaks. What it cannot be sure of it refuses, with the names of those
// who stand in the way.
func decideOnWord(o *Observation, c Classification, w OnWord, looks bool) Verdict {
	s := o.Sidecar
	no := func(r Reason, format string, args ...any) Verdict {
		return Verdict{Refuse, r, fmt.Sprintf(format, args...)}
	}
	switch promote := w.Word == Promote; {
	case !promote && w.Word != Demote:
		return no(ReasonNotAgreed, "nobody has said what is to become of it")
	case !o.Ended && !w.Forward.mayEnd(s.Epoch):
		return no(ReasonWriterLive, "writer %s lives, as far as the manifest says: process %s holds its epoch %d; stop it, and say that its epoch may be ended",
			s.Writer, s.Epoch.Process, s.Epoch.Number)
	case !o.Known:
		return no(ReasonForgotten, "it started at manifest %d, before everything that the manifest remembers: whether it is decided stands in the audit trail", s.Base)
	case o.NoFormat:
		return no(ReasonUnknownFormat, "this salvor knows no table format for operations of kind %q", s.Kind)
	case o.Lock != nil:
		return no(ReasonFrozen, "%s: thaw it, or wait", (&manifest.LockedError{Lock: *o.Lock}).Error())
	case !promote && TraitsOf(s.Kind).Visible:
		return no(ReasonVisible, "readers can see what it wrote, and closing it would undo none of that: look at its plan, and approve the roll-back")
	case promote && len(o.Rivals) > 0:
		return no(ReasonContention, "it is not the only one: %s; which of them is right cannot be told from here: recover or demote the others first", rivals(o.Rivals))
	case promote && c.Worst == ClassMoved:
		return no(ReasonPinsMoved, "another operation leads: %s; what this one wrote starts from an older version", leaders(o, c))
	case promote && c.Worst == ClassNotApplied:
		return no(ReasonIncomplete, "there is nothing to publish for %s", absent(o, c))
	}
	plain := Decide(o, c, RollForwardOnly{EndEpoch: true})
	if w.Word == Promote && c.Worst != ClassApplied {
		return plain // a contradiction, or another's commit: its own words
	}
	if !looks && (w.Approver == "" || w.Agreed == "" || w.Agreed != wordHash(o, c, w.Word)) {
		return no(ReasonNotAgreed, "what is there is not what somebody has agreed to: look again")
	}
	switch {
	case w.Word == Demote:
		return Verdict{Abandon, ReasonDemoted, fmt.Sprintf("somebody takes responsibility for it: never visible (without a word: %s)", plain.Decision)}
	case plain.Decision == RollForward:
		return plain // it needs nobody's word
	default:
		return Verdict{RollForward, ReasonPromoted, "every table version is there, nobody confirmed them, and somebody takes responsibility for it"}
	}
}

func rivals(all []Rival) string {
	var out []string
	for _, r := range all {
		if r.Table == "" {
			out = append(out, fmt.Sprintf("object %s%s cannot be read", Prefix, r.Operation))
			continue
		}
		out = append(out, fmt.Sprintf("operation %s of writer %s pends on table %s, too", r.Operation, r.Writer, r.Table))
	}
	return strings.Join(out, "; ")
}

func leaders(o *Observation, c Classification) string {
	var out []string
	for i, t := range o.Tables {
		if c.Tables[i] == ClassMoved {
			out = append(out, fmt.Sprintf("table %s is %s", t.Plan.Table, t.Pin))
		}
	}
	return strings.Join(out, ", ")
}

func absent(o *Observation, c Classification) string {
	var out []string
	for i, t := range o.Tables {
		if c.Tables[i] == ClassNotApplied {
			out = append(out, fmt.Sprintf("table %s (%s)", t.Plan.Table, t.Plan.Object(o.Sidecar.Operation)))
		}
	}
	return strings.Join(out, ", ")
}

// wordHash names what a person agrees to: the operation, what is to become of it, and
// what was seen of each of its tables. Empty is never agreed to.
func wordHash(o *Observation, c Classification, w Word) PlanHash {
	type table struct {
		Plan   TablePlan    `json:"plan"`
		Pin    manifest.Ref `json:"pin,omitzero"`
		Digest string       `json:"digest,omitempty"`
		Class  string       `json:"class"`
	}
	s := o.Sidecar
	body := struct {
		Word      string               `json:"word"`
		Store     string               `json:"store"`
		Operation manifest.OperationID `json:"operation"`
		Attempt   string               `json:"attempt"`
		Confirmed bool                 `json:"confirmed"`
		Tables    []table              `json:"tables"`
	}{Word: w.String(), Store: s.Store, Operation: s.Operation, Attempt: s.Attempt, Confirmed: o.Confirmed != nil}
	for i, t := range o.Tables {
		body.Tables = append(body.Tables, table{t.Plan, t.Pin, t.Digest, c.Tables[i].String()})
	}
	raw, err := envelope.Encode("word", 1, body)
	if err != nil {
		return ""
	}
	return PlanHash(envelope.Digest(raw))
}

// approver is whose word a verdict rests on; empty when it rests on nobody's.
func (v Verdict) approver(a Authority) string {
	if w, _, is := asWord(a); is && (v.Reason == ReasonDemoted || v.Reason == ReasonPromoted) {
		return w.Approver
	}
	return ""
}
