// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/objstoretest"
)

func TestPrefixIsABucket(t *testing.T) {
	objstoretest.Acceptance(t, func() objstore.Bucket {
		return objstore.Prefix(mem.New(mem.Options{}), "tenants/a/")
	})
}

func TestPrefixSeesNothingBesideIt(t *testing.T) {
	store := mem.New(mem.Options{})
	a, aa := objstore.Prefix(store, "a/"), objstore.Prefix(store, "aa")
	for _, b := range []objstore.Bucket{a, aa, objstore.Prefix(store, "a/deeper/")} {
		if r, err := b.PutIfAbsent(t.Context(), "k", []byte("x"), ""); r.Outcome != objstore.Created {
			t.Fatalf("%v, %v", r.Outcome, err)
		}
	}
	if got := keys(t, a); !slices.Equal(got, []string{"deeper/k", "k"}) {
		t.Errorf("below a/: %q", got)
	}
	if got := keys(t, store); !slices.Equal(got, []string{"a/deeper/k", "a/k", "aa/k"}) {
		t.Errorf("all: %q", got)
	}
	if objstore.Prefix(store, "/") != objstore.Bucket(store) || objstore.Prefix(store, "") != objstore.Bucket(store) {
		t.Error("the empty prefix is not the bucket itself")
	}
}

func TestPrefixThatIsNoPathFailsEveryCall(t *testing.T) {
	for _, prefix := range []string{"../x/", "/x/", "x//", "a b/", strings.Repeat("p", 300)} {
		b := objstore.Prefix(mem.New(mem.Options{}), prefix)
		_, getErr := b.Get(t.Context(), "k")
		_, putErr := b.PutIfAbsent(t.Context(), "k", nil, "")
		delErr := b.Delete(t.Context(), "k")
		var listErr error
		for _, err := range b.List(t.Context(), "", "") {
			listErr = err
		}
		for verb, err := range map[string]error{"get": getErr, "put": putErr, "delete": delErr, "list": listErr} {
			if !errors.Is(err, objstore.ErrInvalidKey) {
				t.Errorf("%q: %s: %v; want ErrInvalidKey", prefix, verb, err)
			}
		}
	}
}
