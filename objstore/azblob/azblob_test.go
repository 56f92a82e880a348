// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package azblob_test

import (
	"testing"

	"github.com/salvor-io/salvor/objstore/azblob"
)

func open(t *testing.T, o azblob.Options) *azblob.Bucket {
	t.Helper()
	b, err := azblob.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}
