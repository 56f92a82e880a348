// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/salvor-io/salvor/hack/contract/tally"
	"github.com/salvor-io/salvor/test/contract"
)

// suite is the part of ginkgo's JSON report that is counted.
type suite struct {
	SpecReports []struct {
		ContainerHierarchyTexts []string
		LeafNodeType            string
		LeafNodeText            string
		State                   string
		NumAttempts             int
		Failure                 struct{ Message string }
	}
}

// readReport counts the specs of a ginkgo run. What its label filter left out is
// not counted: a spec that was to run and called Skip was attempted.
func readReport(name string) (c tally.Count, err error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return c, err
	}
	var suites []suite
	if err := json.Unmarshal(raw, &suites); err != nil {
		return c, err
	}
	for _, s := range suites {
		for _, r := range s.SpecReports {
			if r.LeafNodeType != "It" {
				continue
			}
			full := strings.Join(append(r.ContainerHierarchyTexts, r.LeafNodeText), " ")
			switch {
			case r.State == "passed":
				c.Passed++
			case r.State == "pending", r.State == "skipped" && r.NumAttempts > 0 && !strings.HasPrefix(r.Failure.Message, contract.LaterPrefix):
				c.Skipped++
				c.Skips = append(c.Skips, full)
			case r.State == "skipped" && r.NumAttempts > 0:
				c.Later++
			case r.State == "skipped":
			default:
				c.Failed++
				c.Failures = append(c.Failures, full+tally.Why(r.Failure.Message))
			}
		}
	}
	if c.Passed+c.Failed+c.Skipped == 0 {
		return c, errors.New("no spec ran")
	}
	return c, nil
}
