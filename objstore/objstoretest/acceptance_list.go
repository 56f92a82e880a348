// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore"
)

// sorted are keys in the order of their bytes, which is not the order in which
// a walk over directories meets them: '-' and '.' sort before the slash, digits
// and letters after it.
var sorted = []string{
	"A", "Z/z", "a!b", "a-b/c", "a.b", "a.b.c", "a/b", "a/b-c", "a/b.c", "a/c/d", "a/c/d0", "a/c0",
	"a0", "a0b/c", "aa/b", "b/00000000000000000009", "b/00000000000000000010", "b/9", "z~",
}

func listOrder(t *testing.T, b objstore.Bucket) {
	fill(t, b)
	mustList(t, b, "", "", sorted...)
}

func fill(t *testing.T, b objstore.Bucket) {
	t.Helper()
	if !slices.IsSorted(sorted) {
		t.Fatal("the example is wrong")
	}
	for i := range sorted {
		mustCreate(t, b, sorted[(i*7)%len(sorted)], "x") // in no order
	}
}

// listAfter tries every prefix and every start that a key of the example has,
// and some that none has, against the filter that says what is right.
func listAfter(t *testing.T, b objstore.Bucket) {
	fill(t, b)
	prefixes := []string{"", "a", "a/", "a/b", "a/c/", "a.b", "b/", "b/0000", "A", "z~", "nothing", "a/nothing/", "~", "../", "/"}
	starts := append([]string{"", "a", "a/", "a/b/", "a/z", "b", "b/00000000000000000009x", "~", "0"}, sorted...)
	for _, prefix := range prefixes {
		for _, after := range starts {
			var want []string
			for _, k := range sorted {
				if strings.HasPrefix(k, prefix) && k > after {
					want = append(want, k)
				}
			}
			mustList(t, b, prefix, after, want...)
		}
	}
}

func listNothing(t *testing.T, b objstore.Bucket) {
	mustList(t, b, "", "")
	mustList(t, b, "no/such/", "")
	mustCreate(t, b, "a/b", "x")
	mustList(t, b, "no/such/", "")
	mustList(t, b, "", "a/b")
}

// listPages crosses the 1000 entries that S3 gives at once.
func listPages(t *testing.T, b objstore.Bucket) {
	const n = 1003
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("n/%020d", i)
	}
	inParallel(16, n, func(i int) {
		if r, err := b.PutIfAbsent(t.Context(), want[i], nil, "a"); r.Outcome != objstore.Created {
			t.Errorf("put %s: %v, %v", want[i], r.Outcome, err)
		}
	})
	mustList(t, b, "n/", "", want...)
	mustList(t, b, "n/", want[1], want[2:]...)
	mustList(t, b, "n/", want[n-2], want[n-1])
}

func listStop(t *testing.T, b objstore.Bucket) {
	fill(t, b)
	for range 2 {
		var got []string
		for e, err := range b.List(t.Context(), "a/", "") {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, e.Key); len(got) == 2 {
				break
			}
		}
		if !slices.Equal(got, []string{"a/b", "a/b-c"}) {
			t.Fatalf("the first two: %q", got)
		}
	}
	// A reader may write while it reads.
	for e, err := range b.List(t.Context(), "b/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Delete(t.Context(), e.Key); err != nil {
			t.Fatal(err)
		}
	}
	mustList(t, b, "b/", "")
}
