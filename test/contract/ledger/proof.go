// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/teeth"
)

// ProofFile is where "make prove" leaves what it showed, relative to the root.
const ProofFile = "docs/proof.json"

const proofFormat = 1

// Proof is what the last full run showed, and of which code.
type Proof struct {
	Format int    `json:"format"`
	Commit string `json:"commit"`
	// Modified: the tree differed from the commit. The hashes still say from what.
	Modified bool      `json:"modified,omitempty"`
	Time     time.Time `json:"time"`
	Go       string    `json:"go"`
	// Seconds that the whole run took.
	Seconds float64 `json:"seconds"`
	// Met rows, of Rows that there are.
	Met  int                  `json:"met"`
	All  int                  `json:"all"`
	Rows map[string]ProvedRow `json:"rows"`
}

// ProvedRow is what showed one row.
type ProvedRow struct {
	Tests   []ProvedTest   `json:"tests"`
	Mutants []ProvedMutant `json:"mutants"`
}

// ProvedTest is a test that passed.
type ProvedTest struct {
	contract.Binary
	Test    string         `json:"test"`
	Hash    string         `json:"hash"`
	Full    bool           `json:"full,omitempty"`
	Sampled bool           `json:"sampled,omitempty"`
	Counts  map[string]int `json:"counts,omitempty"`
	Seconds float64        `json:"seconds"`
	Time    time.Time      `json:"time"`
	// Commit, if it was shown by an earlier proof and still holds.
	Commit string `json:"commit,omitempty"`
}

// ProvedMutant is a mutant that was caught.
type ProvedMutant struct {
	Name       string    `json:"name"`
	Hash       string    `json:"hash"`
	Tests      []string  `json:"tests"`
	Seconds    float64   `json:"seconds"`
	CPUSeconds float64   `json:"cpuSeconds,omitempty"`
	Unseen     bool      `json:"unseen,omitempty"`
	Time       time.Time `json:"time"`
	Commit     string    `json:"commit,omitempty"`
}

// ReadProof reads the proof of a tree; nil where there is none.
func ReadProof(root string) (*Proof, error) {
	raw, err := os.ReadFile(filepath.Join(root, ProofFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var p Proof
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", ProofFile, err)
	}
	if p.Format != proofFormat {
		return nil, fmt.Errorf("%s has format %d, this tool reads %d: run make prove", ProofFile, p.Format, proofFormat)
	}
	return &p, nil
}

// Write writes the proof of a tree.
func (p *Proof) Write(root string) error {
	raw, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(root, ProofFile)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name+".tmp", append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}

// NewProof writes down what verdicts rest on: only what counts now.
func NewProof(verdicts []Verdict, commit string) *Proof {
	p := &Proof{Format: proofFormat, Commit: commit, All: len(verdicts), Rows: map[string]ProvedRow{}}
	for _, v := range verdicts {
		row := ProvedRow{Tests: []ProvedTest{}, Mutants: []ProvedMutant{}}
		for _, t := range v.Tests {
			if r := t.result; t.State == Proves {
				row.Tests = append(row.Tests, ProvedTest{
					Binary: r.Binary, Test: r.Test, Hash: r.Hash, Full: r.Full, Sampled: r.Sampled, Counts: r.Counts,
					Seconds: round(r.Seconds), Time: r.Time.UTC().Truncate(time.Second), Commit: earlier(r.Commit, commit),
				})
			}
		}
		for _, m := range v.Mutants {
			if t := m.tooth; m.State == CaughtNow {
				row.Mutants = append(row.Mutants, ProvedMutant{
					Name: t.Name, Hash: t.Hash, Tests: t.Rows[v.Number], Seconds: round(t.Seconds), CPUSeconds: round(t.CPUSeconds), Unseen: t.Unseen,
					Time: t.Time.UTC().Truncate(time.Second), Commit: earlier(t.Commit, commit),
				})
			}
		}
		if len(row.Tests)+len(row.Mutants) > 0 {
			p.Rows[strconv.Itoa(v.Number)] = row
		}
		if v.Met {
			p.Met++
		}
	}
	return p
}

func earlier(of, now string) string {
	if of == now {
		return ""
	}
	return of
}

func round(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// Evidence turns the proof back into results.
func (p *Proof) Evidence() (results []Result, bites []Tooth, err error) {
	if p == nil {
		return nil, nil, nil
	}
	tests := map[string]*Result{}
	mutants := map[string]*Tooth{}
	for number, row := range p.Rows {
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: row %q", ProofFile, number)
		}
		for _, t := range row.Tests {
			key := t.Key() + "\t" + t.Test
			if tests[key] == nil {
				tests[key] = &Result{
					Binary: t.Binary, Test: t.Test, Outcome: Passed, Hash: t.Hash, Full: t.Full, Sampled: t.Sampled,
					Counts: t.Counts, Time: t.Time, Seconds: t.Seconds, Commit: cmp.Or(t.Commit, p.Commit),
				}
			}
			tests[key].Rows = append(tests[key].Rows, n)
		}
		for _, m := range row.Mutants {
			if mutants[m.Name] == nil {
				mutants[m.Name] = &Tooth{Commit: cmp.Or(m.Commit, p.Commit), Record: teeth.Record{
					Name: m.Name, Hash: m.Hash, Verdict: teeth.Caught, Rows: map[int][]string{}, Time: m.Time,
					Seconds: m.Seconds, CPUSeconds: m.CPUSeconds, Unseen: m.Unseen,
				}}
			}
			mutants[m.Name].Rows[n] = m.Tests
		}
	}
	for _, r := range tests {
		slices.Sort(r.Rows)
		results = append(results, *r)
	}
	for _, t := range mutants {
		bites = append(bites, *t)
	}
	return results, bites, nil
}
