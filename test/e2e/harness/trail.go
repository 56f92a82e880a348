// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
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

// Outcomes lists, over every publication that there ever was, who decided an
// operation: more than one entry for any is a double publication.
func Outcomes(ctx context.Context, b objstore.Bucket) (map[manifest.OperationID][]manifest.Role, error) {
	m, err := manifest.Open(ctx, b, manifest.Options{NewID: func() string { return "reader" }})
	if err != nil {
		return nil, err
	}
	ops := map[manifest.OperationID][]manifest.Role{}
	for v := manifest.Version(1); v <= m.View().Version; v++ {
		batch, err := m.Batch(ctx, v)
		if err != nil {
			return nil, err
		}
		for _, e := range batch.Entries {
			if e.Kind == manifest.KindPublish || e.Kind == manifest.KindAbandon {
				ops[e.Operation] = append(ops[e.Operation], batch.By.Role)
			}
		}
	}
	return ops, nil
}
