// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"errors"
	"fmt"

	"github.com/salvor-io/salvor/manifest"
)

var (
	// ErrFailed: the operation is decided and will never be visible. It may be
	// issued again, under a new id.
	ErrFailed = errors.New("the operation was not published")
	// ErrNotRegistered: the writer has no epoch (yet, or any more).
	ErrNotRegistered = errors.New("the writer holds no epoch: register first")
)

// RequiredError says that a pending operation holds a table and must be
// recovered before anybody writes that table again. Other tables proceed.
type RequiredError struct {
	Operation manifest.OperationID
	Key       string
	Table     manifest.TableID
	Writer    manifest.WriterID
}

// Error implements error.
func (e *RequiredError) Error() string {
	return fmt.Sprintf("recovery required: operation %s of writer %s pends on table %s (object %s): the operator resolves it, or run `salvor recover`",
		e.Operation, e.Writer, e.Table, e.Key)
}
