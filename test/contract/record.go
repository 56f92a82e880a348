// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The environment that the recorder reads.
const (
	// EnvDir is where results go; unset: nowhere. A relative path is relative to
	// the module's root.
	EnvDir = "SALVOR_CONTRACT_DIR"
	// EnvFull is "1" in "make prove": every count in full.
	EnvFull = "SALVOR_PROVE"
	// EnvHashes names a file with content hashes that were taken just before the
	// tests were built, so that not every test process runs "go list" again.
	EnvHashes = "SALVOR_CONTRACT_HASHES"
	// EnvNoHash is "1" where the code under test is broken on purpose, and its
	// hash of no use.
	EnvNoHash = "SALVOR_CONTRACT_NO_HASH"
)

// Result is how a test ended.
type Result string

// The results. A record without one is the start of a test.
const (
	Pass Result = "pass"
	Fail Result = "fail"
	Skip Result = "skip"
)

// Record is one line of a results file: the start of a test, or its end.
type Record struct {
	// Run names the process and Test the test in it; a start and its end share both.
	Run  string `json:"run"`
	Test string `json:"test"`
	// Binary is what was run.
	Binary
	Rows []int     `json:"rows"`
	Time time.Time `json:"time"`
	// Hash of the code that went into the test; empty when it could not be taken.
	Hash string `json:"hash,omitempty"`
	// Full: run by "make prove".
	Full bool `json:"full,omitempty"`

	// Only at the end:
	Result  Result  `json:"result,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// Sampled: the test did less than the contract asks for.
	Sampled bool `json:"sampled,omitempty"`
	// Counts is what the test says it did: kills, states, schedules.
	Counts map[string]int `json:"counts,omitempty"`
}

// Binary identifies what a test was built from.
type Binary struct {
	Package string `json:"package"`
	Tags    string `json:"tags,omitempty"`
	// Uses names what is tested without being imported: see Uses.
	Uses []string `json:"uses,omitempty"`
}

// Key is the binary as one word, for maps.
func (b Binary) Key() string {
	return b.Package + "\t" + b.Tags + "\t" + strings.Join(b.Uses, " ")
}

// journal appends records to this process's file. Files of different processes
// never meet, and one line is one write, so a killed process tears at most the
// last line of its own file.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

func (j *journal) append(dir, run string, r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(filepath.Join(dir, run+".jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		j.file = f
	}
	_, err = j.file.Write(append(line, '\n'))
	return err
}

// ReadDir reads every results file in dir, in the order of their names; a
// directory that does not exist holds none. The last line of a file may be torn,
// for its process may have been killed; any other broken line is an error.
func ReadDir(dir string) ([]Record, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(raw)) {
			var r Record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				if !strings.HasSuffix(line, "\n") {
					continue
				}
				return nil, fmt.Errorf("%s: %w; delete the file and run the tests again", name, err)
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// moduleRoot is the nearest folder above the working directory with a go.mod: go
// test runs a test in its package's folder.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above %s", start)
		}
	}
}
