// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// tell is the story of how a state was reached, and what is wrong with it.
func (x *Explorer) tell(end *State) string {
	var b strings.Builder
	for _, breach := range end.ledger.Breaches {
		fmt.Fprintf(&b, "%s\n", breach)
	}
	path := x.scenario.Name + " > " + end.path()
	fmt.Fprintf(&b, "to see it again:\n  SIM_REPLAY='%s' go test ./test/sim -run '^TestReplay$' -v\n", path)
	story, _, err := Replay(x.t, path)
	if err != nil {
		return b.String() + err.Error()
	}
	return b.String() + story
}

// Replay runs a path again and tells its story: the name of the scenario, and the
// legs, as a failure prints them.
func Replay(t *testing.T, path string) (story string, breaches []Breach, err error) {
	t.Helper()
	parts := strings.Split(path, " > ")
	var b strings.Builder
	for _, s := range Scenarios() {
		if s.Name != parts[0] {
			continue
		}
		clk := &clock{t: epoch}
		at := origin(t, clk, s)
		for _, text := range parts[1:] {
			leg, err := ParseLeg(text)
			if err != nil {
				return "", nil, err
			}
			res := replayLeg(t, clk, s, at, leg)
			fmt.Fprintf(&b, "%s\n", leg.Name)
			trace := res.trace
			if at = res.end; leg.Stop > 0 {
				if len(res.snaps) == 0 {
					return "", nil, fmt.Errorf("%s: there is no write %d", leg.Name, leg.Stop)
				}
				at, trace = res.snaps[0], trace.upTo(leg.Stop)
			}
			b.WriteString(trace.String())
			if leg.Stop > 0 {
				b.WriteString("       ** everybody dies\n")
			}
			at.now = epoch.Add(200 * time.Hour)
		}
		for _, breach := range at.ledger.Breaches {
			fmt.Fprintf(&b, "  ==>  %s\n", breach)
		}
		return b.String(), at.ledger.Breaches, nil
	}
	return "", nil, fmt.Errorf("there is no scenario %q", parts[0])
}

func replayLeg(t *testing.T, clk *clock, s Scenario, at *State, leg Leg) result {
	t.Helper()
	actors := map[string][]Actor{
		"do": s.Actors, "recovery": rivals(s.Visible)[:1], "rivals": rivals(s.Visible),
		"end": {theEnd(func(*Process) {})}, "end2": {{"E2", theEnd(func(*Process) {}).Work}},
	}[leg.Name]
	return run(t, clk, at, leg, actors, &script{order: leg.Order}, leg.Stop > 0)
}

// upTo is the story up to its n-th durable write that took effect.
func (s Story) upTo(n int) Story {
	for i, step := range s {
		if step.Verb.Durable() && (step.Fate == Arrives || step.Fate == LosesAnswer) {
			if n--; n == 0 {
				return s[:i+1]
			}
		}
	}
	return s
}
