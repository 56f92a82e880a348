// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import "fmt"

// Probe is the authority to look: the report says what would be done, and nothing is.
type Probe struct {
	// As is with whose authority the decision is made. Default RollForwardOnly{}.
	As Authority
}

func (Probe) authority() {}

// Disposition is what a pending operation needs, in a word for whoever asks only that.
type Disposition string

// The dispositions.
const (
	// Clean: nothing is left to do, or its living writer does it.
	Clean Disposition = "Clean"
	// RollForwardRequired: salvor finishes or closes it by itself.
	RollForwardRequired Disposition = "RollForwardRequired"
	// NeedsCompensation: something that readers can see has to be undone.
	NeedsCompensation Disposition = "NeedsCompensation"
	// Blocked: a person has to look first.
	Blocked Disposition = "Blocked"
	// Unknown: an answer is missing; read again.
	Unknown Disposition = "Unknown"
)

// Disposition of a report; err is what Recover returned with it. It is pure and total.
func (r Report) Disposition(err error) Disposition {
	switch d := r.Verdict.Decision; {
	case err != nil:
		return Unknown
	case r.Complete:
		return Clean
	case d == RollForward, d == Converge, d == Abandon, d == Discard:
		return RollForwardRequired
	case d == RollBack:
		return NeedsCompensation
	case d == Refuse:
		return Blocked
	case d == Defer && r.Verdict.Reason == ReasonWriterLive:
		return Clean
	case d == Defer && r.Verdict.Reason == ReasonFrozen:
		return Blocked
	case d == Defer:
		return RollForwardRequired
	default:
		return Unknown
	}
}

// Drift is what an operation has changed of one table.
type Drift string

// The drifts.
const (
	Unchanged Drift = "Unchanged"
	Changed   Drift = "Changed"
	// DriftUnknown: it was not looked at, or what is there cannot be told.
	DriftUnknown Drift = "Unknown"
)

// TableReport is what was found of one table of an operation.
type TableReport struct {
	TableObservation
	Class Class
	Drift Drift
}

// tableReports says of each table what the operation has changed.
func tableReports(o *Observation, c Classification) []TableReport {
	out := make([]TableReport, len(o.Tables))
	for i, t := range o.Tables {
		out[i] = TableReport{TableObservation: t, Class: c.Tables[i], Drift: drift(t, c.Tables[i])}
	}
	return out
}

func drift(t TableObservation, c Class) Drift {
	switch {
	case c == ClassContradicts:
		return DriftUnknown
	case t.Plan.Drop:
		return Unchanged
	case t.Present, t.Ownership == OwnsHead, t.Ownership == OwnsBuried:
		return Changed
	default:
		return Unchanged
	}
}

// String shows what a person wants to read first.
func (t TableReport) String() string {
	return fmt.Sprintf("%s: %s (%s)", t.Plan.Table, t.Drift, t.Class)
}
