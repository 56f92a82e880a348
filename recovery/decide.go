// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"fmt"

	"github.com/salvor-io/salvor/manifest"
)

// Decision is what to do about a pending operation.
type Decision uint8

const (
	// DecisionInvalid is the zero value and never returned.
	DecisionInvalid Decision = iota
	// RollForward: every effect is there and proven; publish them.
	RollForward
	// Converge: the outcome is decided; audit it once and clean up.
	Converge
	// Abandon: nothing visible exists and the writer cannot finish; publish that.
	Abandon
	// Defer: not now; somebody else still has the operation.
	Defer
	// RollBack: readers can see effects that must be undone.
	RollBack
	// Discard: the sidecar came back after its operation was finished and forgotten.
	Discard
	// Refuse: foreign, contradictory or newer state; kept, loud, never retried for ever.
	Refuse
)

// String returns the decision's name.
func (d Decision) String() string {
	names := [...]string{"Invalid", "RollForward", "Converge", "Abandon", "Defer", "RollBack", "Discard", "Refuse"}
	if int(d) < len(names) {
		return names[d]
	}
	return fmt.Sprintf("Decision(%d)", uint8(d))
}

// Authority is what the caller may do. It is a type, so that code which acts
// automatically cannot reach what undoes.
type Authority interface{ authority() }

// RollForwardOnly may publish what is complete, close what nobody can see, and
// clean up. It can never restore a table.
type RollForwardOnly struct {
	// EndEpoch: the writer is suspected or known to be dead, or gave the operation
	// up; its epoch may be ended in the same publication. A wrong guess costs the
	// writer a registration and nothing else.
	EndEpoch bool
	// Process, if set, is whose epochs may be ended: what is known of a dead process
	// says nothing about its successor, which may have armed this very operation.
	Process manifest.ProcessID
	// LeaveDecided: the writer seems to live. What it has decided itself under an
	// epoch that stands is left to it to clean up: that is its next request.
	LeaveDecided bool
}

func (RollForwardOnly) authority() {}

// leaves reports whether the writer itself is about to delete the sidecar.
func (a RollForwardOnly) leaves(o *Observation) bool {
	by := o.Outcome.By
	return a.LeaveDecided && !o.Ended && by.Role == manifest.RoleWriter && by.Writer == o.Sidecar.Writer
}

func (a RollForwardOnly) mayEnd(e manifest.Epoch) bool {
	return a.EndEpoch && (a.Process == "" || a.Process == e.Process)
}

// forward is what an authority may do without undoing anything.
func forward(a Authority) RollForwardOnly {
	switch a := a.(type) {
	case RollForwardOnly:
		return a
	case Exclusive:
		return a.Forward
	case OnWord:
		return a.Forward
	case Probe:
		return forward(a.As)
	default:
		return RollForwardOnly{}
	}
}

// Verdict is a decision with its reason.
type Verdict struct {
	Decision Decision
	Reason   Reason
	Message  string
}

// Reason is a CamelCase word for a condition.
type Reason string

// The reasons of verdicts.
const (
	ReasonPublished      Reason = "Published"
	ReasonAbandoned      Reason = "Abandoned"
	ReasonConfirmed      Reason = "Confirmed"
	ReasonComplete       Reason = "EffectsComplete"
	ReasonNotConfirmed   Reason = "NotConfirmed"
	ReasonIncomplete     Reason = "EffectsIncomplete"
	ReasonPinsMoved      Reason = "PinsMoved"
	ReasonWriterLive     Reason = "WriterLive"
	ReasonVisible        Reason = "VisibleEffects"
	ReasonForgotten      Reason = "BelowLowWater"
	ReasonForeignStore   Reason = "ForeignStore"
	ReasonUnknownKind    Reason = "UnknownKind"
	ReasonContradiction  Reason = "Contradiction"
	ReasonMalformed      Reason = "Malformed"
	ReasonNewerFormat    Reason = "NewerFormat"
	ReasonContention     Reason = "Contention"
	ReasonFrozen         Reason = "StoreFrozen"
	ReasonUnknownOutcome Reason = "UnknownOutcome"
	ReasonUnknownFormat  Reason = "UnknownFormat"
	ReasonForeignCommit  Reason = "ForeignCommit"
	ReasonBuried         Reason = "Buried"
	ReasonRolledBack     Reason = "RolledBack"
	ReasonRestoring      Reason = "Restoring"
	ReasonDemoted        Reason = "Demoted"
	ReasonPromoted       Reason = "Promoted"
	ReasonNotAgreed      Reason = "NotAgreed"
)

// Decide is pure and total. The rules are tried from the top; the table in
// decide_test.go is the specification.
func Decide(o *Observation, c Classification, a Authority) Verdict {
	traits := TraitsOf(o.Sidecar.Kind)
	auth := forward(a)
	word, looks, spoken := asWord(a)
	switch {
	case o.ForeignStore:
		return Verdict{Refuse, ReasonForeignStore, "the sidecar was written for store " + o.Sidecar.Store +
			": remove the object if the root was copied, or restore the right root"}
	case o.Outcome != nil && auth.leaves(o):
		return Verdict{Defer, ReasonWriterLive, fmt.Sprintf("decided in manifest %d by its writer %s, which is alive and cleans up", o.Outcome.Version, o.Sidecar.Writer)}
	case o.Outcome != nil && o.Outcome.Kind == manifest.KindPublish:
		return Verdict{Converge, ReasonPublished, fmt.Sprintf("published in manifest %d by %s", o.Outcome.Version, o.Outcome.By.Role)}
	case o.Outcome != nil && o.Outcome.Kind == manifest.KindRollBack && o.Outcome.Restored == 0:
		return Verdict{RollBack, ReasonRestoring, fmt.Sprintf("its roll-back was decided in manifest %d and has not ended", o.Outcome.Version)}
	case o.Outcome != nil && o.Outcome.Kind == manifest.KindRollBack:
		return Verdict{Converge, ReasonRolledBack, fmt.Sprintf("rolled back in manifest %d", o.Outcome.Restored)}
	case o.Outcome != nil:
		return Verdict{Converge, ReasonAbandoned, fmt.Sprintf("abandoned in manifest %d by %s", o.Outcome.Version, o.Outcome.By.Role)}
	case traits.Mode == ModeInvalid:
		return Verdict{Refuse, ReasonUnknownKind, fmt.Sprintf("operation kind %q is not known to this salvor: upgrade salvor", o.Sidecar.Kind)}
	case spoken:
		return decideOnWord(o, c, word, looks)
	case !o.Ended && !auth.mayEnd(o.Sidecar.Epoch):
		return Verdict{Defer, ReasonWriterLive, fmt.Sprintf("writer %s is alive and has this operation", o.Sidecar.Writer)}
	case !o.Known:
		return Verdict{Discard, ReasonForgotten, fmt.Sprintf("started at manifest %d, before everything that the manifest remembers", o.Sidecar.Base)}
	case o.NoFormat:
		return Verdict{Refuse, ReasonUnknownFormat, fmt.Sprintf("this salvor knows no table format for operations of kind %q: use one that was built with it", o.Sidecar.Kind)}
	case c.Worst == ClassContended:
		return Verdict{Defer, ReasonContention, "another operation is under way in one of its tables: that one ends first"}
	case c.Worst == ClassForeign:
		return Verdict{Refuse, ReasonForeignCommit, "somebody else has written to a table of the operation, and the manifest does not name it: find out whose it is, and register or remove it"}
	case c.Worst == ClassBuried:
		return Verdict{Refuse, ReasonBuried, "somebody else has written above the operation in one of its tables: it can be neither published nor undone without theirs"}
	case c.Worst == ClassContradicts:
		return Verdict{Refuse, ReasonContradiction, c.Contradiction + ": restore the object from a copy or a bucket version, then the next pass goes on"}
	case c.Worst == ClassMoved:
		return undo(traits, ReasonPinsMoved, "another operation moved a table meanwhile")
	case c.Worst == ClassNotApplied:
		return undo(traits, ReasonIncomplete, "the writer died before every table version was there")
	case o.Confirmed != nil:
		return Verdict{RollForward, ReasonConfirmed, "every table version is there and confirmed"}
	case traits.Mode == ModeConfirmed:
		return undo(traits, ReasonNotConfirmed, "the writer died before it confirmed its table versions")
	default:
		return Verdict{RollForward, ReasonComplete, "every table version is there"}
	}
}

func undo(t Traits, r Reason, message string) Verdict {
	if t.Visible {
		return Verdict{RollBack, ReasonVisible, message + ", and readers can see what it wrote: undoing it needs approval"}
	}
	return Verdict{Abandon, r, message}
}
