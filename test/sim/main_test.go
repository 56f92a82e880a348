// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
)

// Threads of one process hand work to each other without a request in between,
// which is where the scheduler of this package decides. On one processor Go's own
// order is the same each time, so that a seed is; but for the race detector, under
// which it wakes goroutines at random ("make test-unit" leaves it out here), and
// for the machine that takes the processor away (straysMost).
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	// A seed leaves megabytes behind and keeps nothing: to sweep less often, and not to
	// note down who allocated them, is a tenth of the time.
	debug.SetGCPercent(1600)
	runtime.MemProfileRate = 0
	os.Exit(m.Run())
}
