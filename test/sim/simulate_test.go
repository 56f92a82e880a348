// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/sim"
)

// Everybody at once, and everything goes wrong: whatever the seed, no law is broken.
func TestSimulate(t *testing.T) {
	contract.Row(t, 71, 83, 86, 88, 99, 121, 122, 125, 129, 155, 159, 161, 167)
	if word := os.Getenv("SIM_SEED"); word != "" { // one seed is a sample of a sample
		seed, err := strconv.ParseUint(word, 10, 64)
		if err != nil || contract.Scale(t, "seeds", 1, 200_000) != 1 {
			t.Fatalf("SIM_SEED=%s: want a number, and no SALVOR_PROVE beside it (%v)", word, err)
		}
		out := sim.NewSimulator(t).Seed(seed)
		if t.Log(out); len(out.Breaches) > 0 {
			t.Fail()
		}
		return
	}
	seeds := contract.Scale(t, "seeds", 300, 200_000)
	s, began := sim.NewSimulator(t), time.Now()
	deaths, lost := 0, 0
	for seed := range uint64(seeds) {
		out := s.Seed(seed)
		if len(out.Breaches) > 0 {
			t.Fatalf("%v\nto see it again:\n  SIM_SEED=%d go test ./test/sim -run '^TestSimulate$' -v\n%s", out.Breaches, seed, out)
		}
		deaths, lost = deaths+out.Deaths, lost+out.Lost
	}
	if deaths < seeds/4 || lost < seeds {
		t.Errorf("only %d deaths and %d lost answers in %d seeds", deaths, lost, seeds)
	}
	took := time.Since(began)
	t.Logf("%d seeds, %d deaths, %d requests or answers lost, %.0f seeds/s", seeds, deaths, lost, float64(seeds)/took.Seconds())
}

// A seed is the same whenever it runs, to the byte: what is durable, and the story.
// One in a hundred may need a third run, see straysMost.
func TestASeedIsTheSameAgain(t *testing.T) {
	seeds := contract.Scale(t, "replays", 40, 1000)
	one, other, strays := sim.NewSimulator(t), sim.NewSimulator(t), 0
	for seed := range uint64(seeds) {
		a, b := one.Seed(seed), other.Seed(seed)
		if a.End == b.End {
			continue
		}
		if strays++; strays > max(1, seeds/100) {
			t.Fatalf("seed %d: not the same\n%s\nand\n%s", seed, a, b)
		}
		if c := one.Seed(seed); c.End != a.End && c.End != b.End {
			t.Fatalf("seed %d: three runs, three ends\n%s\nand\n%s\nand\n%s", seed, a, b, c)
		}
	}
}
