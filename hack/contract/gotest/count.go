// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/salvor-io/salvor/hack/contract/tally"
	"github.com/salvor-io/salvor/test/contract"
)

// event is one line of "go test -json".
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
}

type test struct {
	pkg     string
	name    string // package and test, for people
	output  []string
	result  string
	started time.Time
}

// counter follows the events of a run.
type counter struct {
	follow bool
	all    int // packages

	mu    sync.Mutex
	tests map[string]*test
	pkgs  map[string]*test // what a package says outside of its tests
	done  int
	build []string
}

func newCounter(packages int, follow bool) *counter {
	return &counter{follow: follow, all: packages, tests: map[string]*test{}, pkgs: map[string]*test{}}
}

func (c *counter) add(e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case e.Action == "build-output":
		fmt.Print(e.Output)
	case e.Action == "build-fail":
		c.build = append(c.build, e.ImportPath)
	case e.Test == "":
		c.addPackage(e)
	default:
		c.addTest(e)
	}
}

func (c *counter) addPackage(e event) {
	p := c.pkgs[e.Package]
	if p == nil {
		p = &test{name: short(e.Package)}
		c.pkgs[e.Package] = p
	}
	switch e.Action {
	case "output":
		p.say(e.Output, c.follow)
	case "pass", "skip":
		c.done++
		p.result = "pass"
	case "fail":
		c.done++
		p.result = "fail"
		c.printFailed(e.Package)
	}
}

func (c *counter) addTest(e event) {
	key := e.Package + "." + e.Test
	t := c.tests[key]
	if t == nil {
		t = &test{pkg: e.Package, name: short(e.Package) + "." + e.Test, started: time.Now()}
		c.tests[key] = t
	}
	switch e.Action {
	case "output":
		t.say(e.Output, c.follow)
	case "pass":
		t.result, t.output = e.Action, nil
	case "fail", "skip":
		t.result = e.Action
	}
}

func (t *test) say(line string, follow bool) {
	if follow {
		fmt.Print(line)
	}
	t.output = append(t.output, line)
}

// said is what the test printed, without what go test adds.
func (t *test) said() string {
	return strings.Join(slices.DeleteFunc(slices.Clone(t.output), func(line string) bool {
		line = strings.TrimSpace(line)
		return strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ")
	}), "")
}

// printFailed prints what the failed tests of a package said.
func (c *counter) printFailed(pkg string) {
	if c.follow {
		return
	}
	said := false
	for _, key := range sortedKeys(c.tests) {
		if t := c.tests[key]; t.pkg == pkg && t.result != "pass" && t.result != "skip" {
			fmt.Print(strings.Join(t.output, ""))
			said = true
		}
	}
	if !said {
		fmt.Print(strings.Join(c.pkgs[pkg].output, ""))
	}
}

// sum counts: leaves of the tree of tests, and what failed around them.
func (c *counter) sum(step string, err error) tally.Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := tally.Count{Step: step}
	keys := sortedKeys(c.tests)
	parents := map[string]bool{}  // have subtests
	blamed := map[string]bool{}   // have a failed subtest
	failedIn := map[string]bool{} // packages with a failed test
	for _, key := range keys {
		for i, r := range key {
			if r == '/' && c.tests[key[:i]] != nil {
				parents[key[:i]] = true
				if c.tests[key].result != "pass" && c.tests[key].result != "skip" {
					blamed[key[:i]] = true
				}
			}
		}
	}
	for _, key := range keys {
		t := c.tests[key]
		switch {
		case t.result == "pass" && !parents[key]:
			out.Passed++
		case t.result == "pass" || blamed[key]:
		case t.result == "skip" && strings.Contains(strings.Join(t.output, ""), ": "+contract.LaterPrefix):
			out.Later++
		case t.result == "skip":
			out.Skipped++
			out.Skips = append(out.Skips, t.name)
		default: // failed, or never ended
			out.Failed++
			out.Failures = append(out.Failures, t.name+tally.Why(t.said()))
			failedIn[t.pkg] = true
		}
	}
	for _, pkg := range sortedKeys(c.pkgs) {
		if c.pkgs[pkg].result == "fail" && !failedIn[pkg] {
			out.Failed++
			out.Failures = append(out.Failures, c.pkgs[pkg].name+" (outside of a test)")
		}
	}
	if err != nil && out.Failed == 0 {
		out.Failed++
		out.Failures = append(out.Failures, fmt.Sprintf("%s: %v %s", step, err, strings.Join(c.build, " ")))
	}
	return out
}

// where says how far the run is.
func (c *counter) where() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := 0
	var longest *test
	for _, t := range c.tests {
		switch {
		case t.result != "":
			ended++
		case longest == nil || t.started.Before(longest.started):
			longest = t
		}
	}
	out := fmt.Sprintf("%d of %d packages, %d tests", c.done, c.all, ended)
	if longest == nil {
		return out + ", building"
	}
	return out + fmt.Sprintf(", now %s since %s", longest.name, time.Since(longest.started).Round(time.Second))
}

func short(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, "github.com/salvor-io/salvor"), "/")
}

func sortedKeys(m map[string]*test) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
