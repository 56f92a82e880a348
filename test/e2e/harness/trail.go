// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/objstore"
)

// AuditOperations counts the audit rows of each operation, read from the root
// itself.
func AuditOperations(ctx context.Context, b objstore.Bucket) (map[string]int, error) {
	log, err := audit.Open(b, "main", nil, audit.Options{Recoverer: "harness"})
	if err != nil {
		return nil, err
	}
	ops := map[string]int{}
	for row, err := range log.Rows(ctx, 0) {
		if err != nil {
			return nil, err
		}
		ops[row.Operation]++
	}
	return ops, nil
}
