// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package teeth

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Record is what a run showed of one mutant: a line of a journal.
type Record struct {
	Name string `json:"name"`
	// Hash of the mutant and its tests: see Mutant.Hash.
	Hash    string  `json:"hash"`
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"`
	// Rows and their tests that failed.
	Rows    map[int][]string `json:"rows,omitempty"`
	Time    time.Time        `json:"time"`
	Seconds float64          `json:"seconds"`
	// CPUSeconds that the tests themselves used, without building them.
	CPUSeconds float64 `json:"cpuSeconds,omitempty"`
	// Unseen: the tests of the library were run with the bug too, and passed.
	Unseen bool `json:"unseen,omitempty"`
}

// Journal is the file of records; the newest record of a mutant counts.
type Journal string

// Append adds a record.
func (j Journal) Append(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(string(j)), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(string(j), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Newest returns the newest record of each mutant.
func (j Journal) Newest() (map[string]Record, error) {
	out := map[string]Record{}
	f, err := os.Open(string(j))
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 16<<20)
	for n := 1; in.Scan(); n++ {
		var r Record
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s line %d: %w; delete the file and run \"make teeth\"", j, n, err)
		}
		if r.Time.Compare(out[r.Name].Time) >= 0 {
			out[r.Name] = r
		}
	}
	return out, in.Err()
}
