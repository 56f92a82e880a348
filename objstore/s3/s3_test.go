// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/objstoretest"
	"github.com/salvor-io/salvor/objstore/s3"
	"github.com/salvor-io/salvor/test/contract"
)

func open(t *testing.T, o s3.Options) *s3.Bucket {
	t.Helper()
	b, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestAcceptanceInProcess(t *testing.T) {
	server := objstoretest.StartGofakes3(t)
	objstoretest.Acceptance(t, func() objstore.Bucket { return open(t, server.Options(server.NewBucket(t))) })
}

func TestAcceptanceVersitygw(t *testing.T) {
	contract.Row(t, 124)
	server := objstoretest.StartVersitygw(t)
	objstoretest.Acceptance(t, func() objstore.Bucket { return open(t, server.Options(server.NewBucket(t))) })
}
