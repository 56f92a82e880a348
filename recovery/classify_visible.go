// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import "fmt"

// classifyVisible digests one table whose readers follow its head. What another
// wrote is never undone and never published: whatever shows another's hand above
// the pinned version holds everything back until a person has looked.
func classifyVisible(o *Observation, t TableObservation) (Class, string) {
	switch {
	case t.Damaged != "":
		return ClassContradicts, t.Damaged
	case t.Plan.Drop && t.Pin == t.Plan.Expected:
		return ClassApplied, "" // nothing to make
	case t.Head.Number < t.Pin.Number:
		return ClassContradicts, fmt.Sprintf("table %s: its newest version is %s, the manifest names %s", t.Plan.Table, t.Head, t.Pin)
	case t.Rival != "":
		return ClassContended, ""
	case t.Pin != t.Plan.Expected:
		return classifyMoved(t)
	}
	switch t.Ownership {
	case OwnsNone:
		if o.Confirmed != nil {
			return ClassContradicts, fmt.Sprintf("table %s: confirmed, but its newest version is still %s", t.Plan.Table, t.Head)
		}
		return ClassNotApplied, ""
	case OwnsHead:
		if o.Confirmed == nil {
			return ClassApplied, ""
		}
		if r, ok := o.Confirmed.reached(t.Plan.Table); !ok || r.Number != t.Head.Number || r.Digest != t.Digest {
			return ClassContradicts, fmt.Sprintf("table %s: its newest version is %s with %s, confirmed is version %d with %s", t.Plan.Table, t.Head, t.Digest, r.Number, r.Digest)
		}
		return ClassApplied, ""
	case OwnsForeign:
		if t.Gone && t.Pin.IsZero() { // made and undone by another: there is no table, and nothing of this one
			return ClassMoved, ""
		}
		return ClassForeign, ""
	case OwnsBuried:
		return ClassBuried, ""
	case OwnsCompensated:
		return ClassContradicts, fmt.Sprintf("table %s: version %s undoes the operation, and the manifest knows of no roll-back", t.Plan.Table, t.Head)
	default:
		return ClassContradicts, fmt.Sprintf("table %s: whose version %s is cannot be told (%s)", t.Plan.Table, t.Head, t.Ownership)
	}
}

// classifyMoved: another operation moved the pin. That is harmless as long as
// nothing of this one lies in the table.
func classifyMoved(t TableObservation) (Class, string) {
	switch t.Ownership {
	case OwnsForeign:
		return ClassMoved, ""
	case OwnsBuried:
		return ClassBuried, ""
	default:
		return ClassContradicts, fmt.Sprintf("table %s: the manifest names %s, which does not lie above %s (%s)", t.Plan.Table, t.Pin, t.Plan.Expected, t.Ownership)
	}
}
