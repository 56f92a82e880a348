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
