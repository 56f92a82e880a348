// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/sim"
)

// A pod of the reference store with its own log: it dies at every durable write of
// its disk and of its bucket, with the power or without, and so does the recovery;
// the next pod has everything that was acknowledged, and no half of anything.
func TestExplorePods(t *testing.T) {
	contract.Row(t, 71, 99, 153)
	began := time.Now()
	x := sim.ExplorePods(t, contract.Scale(t, "second deaths left out for one that is not", 1<<20, 16))
	if x.Failed != "" {
		t.Fatal(x.Failed)
	}
	contract.Count(t, "states", len(x.Seen))
	contract.Count(t, "windows", x.Windows)
	t.Logf("%s in %.1f s", x.Totals, time.Since(began).Seconds())
}

// A pod that takes transactions, somebody who freezes its store, an operator: each of
// them dies at each of its durable writes, and others go on. While all is held nothing is
// acknowledged, no lock stays, and everything that was acknowledged is there.
func TestExploreFrozenPods(t *testing.T) {
	contract.Row(t, 106, 110, 111, 137, 138, 155)
	began := time.Now()
	x := sim.ExploreFrozenPods(t, contract.Scale(t, "states not finished for one that is", 7, 1))
	if x.Failed != "" {
		t.Fatal(x.Failed)
	}
	contract.Count(t, "states", len(x.Seen))
	contract.Count(t, "windows", x.Windows)
	t.Logf("%s; %d transactions waited, in %.1f s", x.Totals, x.Waited, time.Since(began).Seconds())
}
