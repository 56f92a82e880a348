// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Group is the part of the protocol that a bug is planted in.
type Group string

// Groups of the protocol, in the order in which an operation meets them.
var Groups = []Group{
	"arm order", "publish", "batch", "fence", "lock", "lost answer",
	"classify", "abandon and roll-back", "audit once", "collection",
}

// CPUMost is how much CPU time the tests may use to find a bug of the protocol, in
// seconds.
const CPUMost = 60

// Library are the packages whose own tests a bug of the protocol may get past: see
// Mutant.Unseen. The explorers and the simulation (test/sim) are not among them.
const Library = "./audit/... ./conformance/... ./control/... ./detect/... ./manifest/... ./objstore/... ./recovery/... ./store/..."

// Holes are what was wrong with the drafts of the protocol, found by exploring them
// state by state before there was code. Each is a bug that test/sim has to find.
var Holes = []struct{ ID, What string }{
	{"H1", "a fenced writer's effect lands after the outcome"},
	{"H2", "an empty roll-back leaves no entry"},
	{"H3", "the lock ends between plan and restore"},
	{"H4", "a writer's delete comes before recovery's audit"},
	{"H5", "two processes register under one number"},
	{"H6", "below the boundary is read as lost"},
	{"H7", "an operation is issued again after a fence"},
	{"H8", "a spent id is armed again"},
	{"H9", "what a living writer cannot finish stays"},
	{"H10", "two processes of one id take turns"},
	{"H11", "the head lags, and a cut tail hides in the lag"},
	{"H12", "a lock forbids its own end"},
	{"H13", "a crash right after the intent needs a person"},
	{"H14", "a drain and a recovery wait for each other"},
	{"N1", "the name of a version is used again"},
	{"N2", "the collector looks in the wrong order"},
	{"N3", "a withdrawal leaves no entry"},
	{"N4", "a lone confirmation stays"},
	{"N5", "outcomes are forgotten while an intent is on its way"},
	{"N6", "an intent comes back that is older than the list"},
	{"N7", "a living writer waits for its own leftover"},
}

func parseHoles(value string) (ids []string, err error) {
	for id := range strings.SplitSeq(value, ",") {
		id = strings.TrimSpace(id)
		known := false
		for _, h := range Holes {
			known = known || h.ID == id
		}
		if !known {
			return nil, fmt.Errorf("%q is no hole: H1 to H14, N1 to N7", id)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func parseGroup(value string) (Group, error) {
	if !slices.Contains(Groups, Group(value)) {
		return "", fmt.Errorf("%q is none of the groups: %q", value, Groups)
	}
	return Group(value), nil
}

// afterwards is what a bug of the protocol has to hold to besides being caught. The
// patch is applied.
func (r *runner) afterwards(ctx context.Context, dir string, m *Mutant, cpu float64) (unseen bool, why string) {
	if m.Group != "" && cpu > CPUMost {
		return false, fmt.Sprintf("it took %.0f CPU-s to find, more than %d: run fewer tests, or those that find it", cpu, CPUMost)
	}
	if !m.Unseen || r.opt.Library == "" {
		return false, ""
	}
	// Results of packages that the patch does not touch are in the cache of go test.
	r.notice("%s is caught; the tests of the library with it", m.Name)
	ran, _ := r.run(ctx, dir, Command{Packages: r.opt.Library, Cached: true}, 15*time.Minute)
	if ran.ok {
		return true, ""
	}
	var failed []string
	for test := range ran.failed {
		failed = append(failed, test)
	}
	slices.Sort(failed)
	return false, fmt.Sprintf("\"Unseen: yes\" is not so: %s fails too:\n%s", firstFew(failed, 3), ran.tail())
}

// Census counts bugs of the protocol.
type Census struct {
	Planted, Unseen, Replays int
	Of                       map[Group]int
}

// CensusOf counts those of the mutants that are bugs of the protocol.
func CensusOf(mutants []Mutant) Census {
	c := Census{Of: map[Group]int{}}
	for _, m := range mutants {
		if m.Group == "" {
			continue
		}
		c.Planted++
		c.Of[m.Group]++
		if m.Unseen {
			c.Unseen++
		}
		if m.Replays != "" {
			c.Replays++
		}
	}
	return c
}

// String is the census for people.
func (c Census) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d bugs planted in the protocol, %d fall to the explorers and the simulation only, %d replay a published one\n", c.Planted, c.Unseen, c.Replays)
	for _, g := range Groups {
		fmt.Fprintf(&b, "  %-22s %d\n", g, c.Of[g])
	}
	return b.String()
}
