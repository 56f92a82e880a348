// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
)

func TestOnlyAQuietStoreIsListedSeldom(t *testing.T) {
	contract.Row(t, 164)
	o := Options{}.withDefaults()
	for _, c := range []struct {
		name        string
		lull        lull
		least, most time.Duration
	}{
		{"nothing happens, every pod reports", lull{pods: 3, streaming: 3}, time.Hour, 75 * time.Minute},
		{"nobody is there", lull{}, time.Hour, 75 * time.Minute},
		{"something was published", lull{moved: true, pods: 3, streaming: 3}, 5 * time.Minute, 10 * time.Minute},
		{"something pends", lull{pending: 1, pods: 3, streaming: 3}, 5 * time.Minute, 10 * time.Minute},
		{"a pod does not report", lull{pods: 3, streaming: 2}, 5 * time.Minute, 10 * time.Minute},
	} {
		for range 100 {
			if d := o.pace(c.lull); d <= c.least || d > c.most {
				t.Errorf("%s: %s, want more than %s and at most %s", c.name, d, c.least, c.most)
			}
		}
	}
	for range 100 {
		if d := o.reprobe(); d <= 21*time.Hour || d > 24*time.Hour {
			t.Errorf("probed again after %s", d)
		}
	}
}

func TestARandomTimeStaysWithinItsBounds(t *testing.T) {
	for _, c := range []struct{ least, most, want time.Duration }{{0, 5, 5}, {7, 5, 5}, {5, 5, 5}, {4, 5, 5}} {
		if d := within(c.least, c.most); d != c.want {
			t.Errorf("within %d and %d: %d", c.least, c.most, d)
		}
	}
}
