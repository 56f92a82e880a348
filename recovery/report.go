// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"time"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
)

// Report is what one pass over one sidecar came to. It is a value for whoever
// has to tell people; the library keeps nothing of it.
type Report struct {
	// Key is the object's name as it was listed.
	Key       string
	Operation manifest.OperationID
	// Sidecar is nil when the object is gone or cannot be read.
	Sidecar *Sidecar
	Phase   Phase
	// Class is that of the worst of its tables; ClassInvalid when they were not looked at.
	Class   Class
	Verdict Verdict
	// Tables is what was found of each; nil when they were not looked at.
	Tables []TableReport
	// Gone: the object was not there. Somebody finished before us.
	Gone bool
	// Plan of a roll-back and its hash, if that is what the operation needs. The plan is
	// nil when the roll-back was decided before this pass and it did not go on with it.
	Plan     *Plan
	PlanHash PlanHash
	// NeedsApproval: the decision is one that this authority may not carry out.
	NeedsApproval bool
	// Outcome is the entry that decided the operation, ours or another's.
	Outcome *manifest.Outcome
	// Fenced: this pass ended the writer's epoch.
	Fenced bool
	// Row is the audit row, read back; nil when there is none (yet).
	Row *audit.Row
	// Head of the audit chain that covers Row.
	Head audit.Head
	// Complete: nothing is left to do.
	Complete bool
}

// Age is how long the operation has been pending; zero when that is not known.
func (r Report) Age(now time.Time) time.Duration {
	if r.Sidecar == nil {
		return 0
	}
	return max(0, now.Sub(r.Sidecar.Started))
}
