// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"errors"
	"fmt"
)

var (
	// ErrUnknown is wrapped when an append ended without knowing whether its row
	// is there, or without having read it back. Keep the sidecar and append again:
	// the row will be found or written, once.
	ErrUnknown = errors.New("audit row may or may not be written")

	// ErrBusy is wrapped when the object store would not take the row for now.
	// Nothing was written.
	ErrBusy = errors.New("object store did not take the audit row")

	// ErrNoCurrentKey is wrapped when a row cannot be signed. Nothing was written.
	ErrNoCurrentKey = errors.New("no current audit key")
)

// ConflictError says that the trail already tells another end of an operation.
// Nothing was written; appending again will not help.
type ConflictError struct {
	Operation string
	Wanted    Kind
	Recorded  Row
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("operation %s: the audit trail says %s (row %d, object %d), not %s: compare manifest entry %d; nothing was written",
		e.Operation, e.Recorded.Kind, e.Recorded.ID, e.Recorded.Batch, e.Wanted, e.Recorded.ManifestVersion)
}
