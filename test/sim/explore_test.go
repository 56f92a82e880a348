// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/sim"
)

// Every durable write of every scenario is a place to die, or to lose an answer,
// and so is every durable write of the recovery that follows; requests of those
// that work at the same time come in every order.
func TestExplore(t *testing.T) {
	contract.Row(t, 71, 72, 74, 75, 76, 81, 82, 83, 84, 86, 99, 110, 122, 125, 129, 137, 153, 154, 155, 159, 161, 167)
	b := sim.Bounds{
		Orders:      contract.Scale(t, "orders of a scenario at most", 12, 300),
		RivalOrders: contract.Scale(t, "orders of two recoverers at most", 25, 400),
		Turns:       contract.Scale(t, "orders of few turns left out for one that is not", 211, 11),
		Share:       contract.Scale(t, "states not finished for one that is", 8, 1),
		Third:       contract.Scale(t, "recoveries not killed a third time for one that is", 64, 5),
		RivalShare:  contract.Scale(t, "states without rivals for one with", 4, 1),
	}
	if part := partOf(); part != "" {
		leave(t, explored(t, part, b))
		return
	}
	var all sim.Totals
	var mu sync.Mutex
	began := time.Now()
	t.Run("of", func(t *testing.T) {
		for _, s := range sim.Scenarios() {
			t.Run(strings.ReplaceAll(s.Name, ",", ""), func(t *testing.T) {
				t.Parallel()
				var x sim.Totals
				inAProcess(t, "TestExplore", s.Name, &x)
				t.Log(x)
				mu.Lock()
				defer mu.Unlock()
				all.Add(x)
			})
		}
	})
	contract.Count(t, "states", len(all.Seen))
	contract.Count(t, "schedules", all.Schedules)
	contract.Count(t, "windows", all.Windows)
	contract.Count(t, "windows crossed", all.Crossed)
	t.Logf("in all: %s in %.1f s", all, time.Since(began).Seconds())
}

// explored is what the exploration of one scenario comes to.
func explored(t *testing.T, name string, b sim.Bounds) sim.Totals {
	t.Helper()
	for _, s := range sim.Scenarios() {
		if s.Name == name {
			began := time.Now()
			x := sim.Explore(t, s, b)
			if x.Failed != "" {
				t.Fatal(x.Failed)
			}
			t.Logf("%s in %.1f s", x.Totals, time.Since(began).Seconds())
			return x.Totals
		}
	}
	t.Fatalf("there is no scenario %q", name)
	return sim.Totals{}
}

// TestReplay tells the story of a path that a failure printed.
func TestReplay(t *testing.T) {
	path := os.Getenv("SIM_REPLAY")
	if path == "" {
		path = "three tables > do!3 > recovery!1 > end"
	}
	story, breaches, err := sim.Replay(t, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s", path, story)
	if len(breaches) > 0 {
		t.Fail()
	}
}
