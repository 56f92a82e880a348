// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package gcs_test

import (
	"testing"

	"github.com/salvor-io/salvor/objstore/gcs"
)

func open(t *testing.T, o gcs.Options) *gcs.Bucket {
	t.Helper()
	b, err := gcs.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}
