// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/contract/tree"
	"github.com/salvor-io/salvor/test/teeth"
)

// Where this machine's results are, relative to the root.
const (
	ResultsDir  = ".cache/contract/results"
	TeethFile   = ".cache/contract/teeth.jsonl"
	keepResults = 14 * 24 * time.Hour
)

// Load gathers the evidence that there is about the tree at root.
func Load(root string) (Evidence, error) {
	var e Evidence
	records, err := contract.ReadDir(filepath.Join(root, ResultsDir))
	if err != nil {
		return e, err
	}
	e.Results = Results(records)
	newest, err := teeth.Journal(filepath.Join(root, TeethFile)).Newest()
	if err != nil {
		return e, err
	}
	for _, r := range newest {
		e.Teeth = append(e.Teeth, Tooth{Record: r})
	}
	proof, err := ReadProof(root)
	if err != nil {
		return e, err
	}
	results, bites, err := proof.Evidence()
	if err != nil {
		return e, err
	}
	e.Results, e.Teeth = append(e.Results, results...), append(e.Teeth, bites...)

	mutants, broken, err := teeth.Load(root)
	if err != nil {
		return e, err
	}
	for name, err := range broken {
		return e, fmt.Errorf("test/teeth/%s.patch: %w", name, err)
	}
	e.Mutants, e.Hashes = mutants, map[string]string{}
	for _, m := range mutants {
		if e.Hashes[m.Name], err = m.Hash(root); err != nil {
			return e, err
		}
	}
	var targets []tree.Target
	for _, b := range Binaries(e.Results) {
		targets = append(targets, b.Target())
	}
	e.Code, err = tree.Hashes(root, targets)
	return e, err
}

// Prune deletes results that are so old that nobody can want them any more.
func Prune(root string, now time.Time) error {
	files, err := filepath.Glob(filepath.Join(root, ResultsDir, "*.jsonl"))
	if err != nil {
		return err
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err == nil && now.Sub(info.ModTime()) > keepResults {
			err = os.Remove(file)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
