// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package mem_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/mem"
	"github.com/salvor-io/salvor/objstore/objstoretest"
)

func TestAcceptance(t *testing.T) {
	objstoretest.Acceptance(t, func() objstore.Bucket { return mem.New(mem.Options{}) })
}

func TestAcceptanceInPagesOfTwo(t *testing.T) {
	objstoretest.Acceptance(t, func() objstore.Bucket { return mem.New(mem.Options{Page: 2}) })
}

// In memory a race is short, so there are many.
func TestManyRaces(t *testing.T) {
	b := mem.New(mem.Options{})
	for i := range 300 {
		objstoretest.Race(t, func(int) objstore.Bucket { return b }, fmt.Sprint("k", i), 16<<10)
		if t.Failed() {
			return
		}
	}
}

func TestStampsAreOfTheGivenClock(t *testing.T) {
	now := time.Unix(1000, 0)
	b := mem.New(mem.Options{Now: func() time.Time { return now }})
	r, err := b.PutIfAbsent(t.Context(), "k", nil, "attempt-7")
	if err != nil || !r.Date.Equal(now) {
		t.Fatalf("%+v, %v", r, err)
	}
	now = now.Add(time.Hour)
	o, err := b.Get(t.Context(), "k")
	if err != nil || !o.Modified.Equal(time.Unix(1000, 0)) || !o.Date.Equal(now) {
		t.Fatalf("%+v, %v", o, err)
	}
	if got := b.Attempt("k"); got != "attempt-7" {
		t.Fatalf("attempt %q", got)
	}
}

// A listing of two pages: the first is of one moment, the second of a later one.
func TestBetweenPagesOthersWrite(t *testing.T) {
	b := mem.New(mem.Options{Page: 2})
	for _, k := range []string{"a", "c", "e", "g"} {
		if _, err := b.PutIfAbsent(t.Context(), k, nil, ""); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	for e, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Key == "a" { // within the first page: a, c
			_ = b.Delete(t.Context(), "c")
			_ = b.Delete(t.Context(), "g")
			_, _ = b.PutIfAbsent(t.Context(), "b", nil, "")
			_, _ = b.PutIfAbsent(t.Context(), "f", nil, "")
		}
		got += e.Key
	}
	if got != "acef" {
		t.Fatalf("listed %q, want acef", got)
	}
}

func TestCloneHasAFutureOfItsOwn(t *testing.T) {
	b := mem.New(mem.Options{})
	if _, err := b.PutIfAbsent(t.Context(), "k", []byte("x"), ""); err != nil {
		t.Fatal(err)
	}
	c := b.Clone()
	_ = c.Delete(t.Context(), "k")
	_, _ = c.PutIfAbsent(t.Context(), "j", nil, "")
	if o, err := b.Get(t.Context(), "k"); err != nil || string(o.Body) != "x" {
		t.Fatalf("%+v, %v", o, err)
	}
	if _, err := b.Get(t.Context(), "j"); err == nil {
		t.Fatal("the clone's write is seen by the original")
	}
}
