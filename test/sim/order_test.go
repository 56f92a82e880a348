// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/objstore/fault"
)

// walked is one run of two clients, A and B, that put the same two keys one after
// the other: the order in which they came, and whether the run says something new.
// A run that strays has B ask for something else at first.
func walked(o *orders, stray bool) (order string, whole bool) {
	left := map[string]int{"A": 2, "B": 2}
	for left["A"]+left["B"] > 0 {
		var parked []*request
		for _, c := range []string{"A", "B"} {
			if left[c] == 0 {
				continue
			}
			key := fmt.Sprint("key-", 2-left[c])
			if stray && c == "B" && left[c] == 2 {
				key = "elsewhere"
			}
			parked = append(parked, &request{by: &Process{Name: c}, verb: fault.PutIfAbsent, key: key})
		}
		i, _ := o.next(nil, parked)
		if i < 0 {
			return order, false
		}
		c := parked[i].by.Name
		left[c]--
		order += c
	}
	return order, true
}

// walkAll walks until nothing is left; strays says which runs stray.
func walkAll(t *testing.T, strays func(run int) bool) map[string]bool {
	t.Helper()
	o, seen := &orders{}, map[string]bool{}
	for n := 0; ; n++ {
		if n > 200 {
			t.Fatal("it does not end")
		}
		if order, whole := walked(o, strays(n)); whole && !strays(n) {
			seen[order] = true
		}
		if !o.again() {
			return seen
		}
	}
}

// Of two clients with two conflicting requests each there are orders that differ
// in who was first at key-0 and who at key-1: four.
// A run that strays costs another look, and no order.
func TestAStrayedRunCostsNoOrder(t *testing.T) {
	want := walkAll(t, func(int) bool { return false })
	if len(want) < 4 {
		t.Fatalf("only %v", want)
	}
	for at := range 6 {
		got := walkAll(t, func(run int) bool { return run == at })
		for order := range want {
			first, second := firsts(order)
			found := false
			for o := range got {
				a, b := firsts(o)
				found = found || a == first && b == second
			}
			if !found {
				t.Errorf("run %d strays: no order like %s in %v", at, order, got)
			}
		}
	}
}

// firsts is who came first to key-0 and to key-1.
func firsts(order string) (first, second string) {
	at := map[string]int{}
	for _, c := range strings.Split(order, "") {
		if at[c]++; at[c] == 2 {
			return order[:1], c
		}
	}
	return order[:1], ""
}

// What depends on chance in every other run is told.
func TestChanceIsTold(t *testing.T) {
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "something depends on chance") {
			t.Errorf("%s", got)
		}
	}()
	walkAll(t, func(run int) bool { return run%2 == 1 })
}
