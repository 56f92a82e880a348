// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
)

// Two looks at once ask the API server for one RecoverySidecar once, and what was
// deleted is made again.
func TestOneOfTwoLooksMakesTheResource(t *testing.T) {
	contract.Row(t, 96)
	var l ledger
	now := time.Unix(1000, 0)
	makes := func(what string, at time.Time, want bool) {
		t.Helper()
		l.note("store", pending{key: "recovery/op"}, at)
		if got := l.making("store", "recovery/op", at); got != want {
			t.Errorf("%s: it makes the resource: %v, want %v", what, got, want)
		}
	}
	makes("the first look", now, true)
	makes("a second one before the cache shows it", now.Add(cacheBehind-1), false)
	makes("one after which the cache should show it", now.Add(cacheBehind), true)
	l.unmade("store")
	makes("one after somebody deleted it", now.Add(cacheBehind+1), true)
	l.unmade("another store")
	makes("a second one, though another store's was deleted", now.Add(cacheBehind+2), false)
	l.done("store", "recovery/op")
	makes("one after it was finished and came back", now.Add(cacheBehind+3), true)
}
