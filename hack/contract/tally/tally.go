// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package tally counts tests over the steps of one run. Each step appends a line
// to the file that SALVOR_TALLY names; the driver of the steps adds them up.
package tally

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// EnvFile names the file.
const EnvFile = "SALVOR_TALLY"

// Count is what one step showed.
type Count struct {
	Step    string `json:"step"`
	Passed  int    `json:"passed"`
	Failed  int    `json:"failed"`
	Skipped int    `json:"skipped"`
	// Later is how many tests said that they only run in "make prove".
	Later int `json:"later,omitempty"`
	// Failures name tests and say why (Why), Skips name them.
	Failures []string `json:"failures,omitempty"`
	Skips    []string `json:"skips,omitempty"`
}

// Why is the beginning of what a failed test said, on one line: whoever sees only
// the end of a long log sees this.
func Why(said string) string {
	const most = 400
	words := strings.Join(strings.Fields(said), " ")
	if len(words) > most {
		words = words[:most] + " ..."
	}
	if words == "" {
		return ""
	}
	return ": " + words
}

// String is the plain summary line.
func (c Count) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.Passed, c.Failed, c.Skipped)
}

// Add adds o to c.
func (c *Count) Add(o Count) {
	c.Passed, c.Failed, c.Skipped, c.Later = c.Passed+o.Passed, c.Failed+o.Failed, c.Skipped+o.Skipped, c.Later+o.Later
	c.Failures, c.Skips = append(c.Failures, o.Failures...), append(c.Skips, o.Skips...)
}

// Append adds a line to the file of the run that this process is a step of, if
// it is one.
func Append(c Count) error {
	if name := os.Getenv(EnvFile); name != "" {
		return AppendTo(name, c)
	}
	return nil
}

// AppendTo adds a line to a file.
func AppendTo(name string, c Count) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Read adds up a file.
func Read(name string) (sum Count, err error) {
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return sum, nil
	}
	for line := range strings.Lines(string(raw)) {
		var c Count
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return sum, fmt.Errorf("%s: %w", name, err)
		}
		sum.Add(c)
	}
	return sum, err
}
