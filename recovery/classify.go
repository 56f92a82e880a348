// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import "fmt"

// Class is what one table shows of an operation.
type Class uint8

const (
	// ClassInvalid is the zero value and never returned.
	ClassInvalid Class = iota
	// ClassNotApplied: the planned version is not there; the pin is as expected.
	ClassNotApplied
	// ClassApplied: the planned version is there; the pin is as expected.
	ClassApplied
	// ClassMoved: another operation moved the pin, whatever is applied.
	ClassMoved
	// ClassContended: another operation is under way in the table.
	ClassContended
	// ClassForeign: readers see a version that is neither pinned nor this operation's.
	ClassForeign
	// ClassBuried: readers see another's version above this operation's.
	ClassBuried
	// ClassContradicts: the table disagrees with the confirmation, or is damaged.
	ClassContradicts
)

// String returns the class's name.
func (c Class) String() string {
	switch c {
	case ClassNotApplied:
		return "NotApplied"
	case ClassApplied:
		return "Applied"
	case ClassMoved:
		return "Moved"
	case ClassContended:
		return "Contended"
	case ClassForeign:
		return "Foreign"
	case ClassBuried:
		return "Buried"
	case ClassContradicts:
		return "Contradicts"
	default:
		return fmt.Sprintf("Class(%d)", uint8(c))
	}
}

// Phase is how far the operation had come, for people.
type Phase string

// The phases, in order.
const (
	PhaseArmed         Phase = "Armed"
	PhasePartlyApplied Phase = "PartlyApplied"
	PhaseApplied       Phase = "Applied"
	PhaseConfirmed     Phase = "Confirmed"
	PhaseDecided       Phase = "Decided"
)

// Classification is an observation, digested.
type Classification struct {
	Phase  Phase
	Tables []Class // in the order of the sidecar's tables
	// Worst is the strongest of Tables: one table that may not go forward keeps
	// all of them back.
	Worst Class
	// Contradiction says what disagrees, if Worst is ClassContradicts.
	Contradiction string
}

// Classify digests an observation. It is pure and total.
func Classify(o *Observation) Classification {
	var c Classification
	applied, rank := 0, 0
	for _, t := range o.Tables {
		class, why := classifyTable(o, t)
		c.Tables = append(c.Tables, class)
		rank = max(rank, worse(class))
		if why != "" && c.Contradiction == "" {
			c.Contradiction = why
		}
		if t.applied() {
			applied++
		}
	}
	c.Worst = unworse(rank)
	switch {
	case o.Outcome != nil:
		c.Phase = PhaseDecided
	case o.Confirmed != nil:
		c.Phase = PhaseConfirmed
	case applied == 0:
		c.Phase = PhaseArmed
	case applied < len(o.Tables):
		c.Phase = PhasePartlyApplied
	default:
		c.Phase = PhaseApplied
	}
	return c
}

// worse orders classes by how much they hold the operation back.
func worse(c Class) int {
	switch c {
	case ClassApplied:
		return 1
	case ClassNotApplied:
		return 2
	case ClassMoved:
		return 3
	case ClassContended:
		return 4
	case ClassForeign:
		return 5
	case ClassBuried:
		return 6
	default:
		return 7
	}
}

func unworse(rank int) Class {
	return [...]Class{ClassInvalid, ClassApplied, ClassNotApplied, ClassMoved, ClassContended, ClassForeign, ClassBuried, ClassContradicts}[rank]
}

func classifyTable(o *Observation, t TableObservation) (Class, string) {
	if TraitsOf(o.Sidecar.Kind).Visible {
		return classifyVisible(o, t)
	}
	switch {
	case t.Pin != t.Plan.Expected:
		return ClassMoved, ""
	case t.Plan.Drop:
		return ClassApplied, "" // nothing to make
	case o.Confirmed == nil && (!t.Present || t.Damaged != ""):
		return ClassNotApplied, "" // a torn write that nobody vouched for is no effect
	case o.Confirmed == nil:
		return ClassApplied, ""
	case t.Damaged != "":
		return ClassContradicts, t.Damaged
	case !t.Present:
		return ClassContradicts, fmt.Sprintf("confirmed, but object %s is gone", t.Plan.Object(o.Sidecar.Operation))
	}
	if r, ok := o.Confirmed.reached(t.Plan.Table); !ok || r.Digest != t.Digest {
		return ClassContradicts, fmt.Sprintf("object %s has %s, the confirmation says %s", t.Plan.Object(o.Sidecar.Operation), t.Digest, r.Digest)
	}
	return ClassApplied, ""
}
