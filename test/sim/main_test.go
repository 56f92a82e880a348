// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"os"
	"runtime"
	"testing"
)

// Threads of one process hand work to each other without a request in between,
// which is where the scheduler of this package decides. On one processor Go's own
// order is the same each time, so that a seed is.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}
