// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Teeth plants the bugs of test/teeth into copies of the tree, one at a time, and
// sees the tests fail. The last line is "teeth: N caught, M survived, K errors".
//
// Exit code 0: all caught; 1: some survived or were errors; 2: it could not run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/salvor-io/salvor/hack/contract/tally"
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/contract/ledger"
	"github.com/salvor-io/salvor/test/teeth"
)

const measure = "measure" // teeth measure FILE PROGRAM ARG...: see teeth.Measure

func main() {
	if len(os.Args) > 3 && os.Args[1] == measure {
		os.Exit(teeth.Measure(os.Args[2], os.Args[3:]))
	}
	var (
		rows     = flag.String("rows", "", "only mutants of these rows, as in 66-105,121")
		name     = flag.String("name", "", "only this mutant")
		sample   = flag.Int("sample", 0, "so many mutants at most: those that were shown longest ago, and none of tier prove")
		parallel = flag.Int("parallel", 2, "copies of the tree")
		root     = flag.String("root", ".", "root of the module")
		list     = flag.Bool("list", false, "print the mutants and run none")
		unseen   = flag.Bool("unseen", false, "run the library's tests too on bugs that are said to fall to test/sim only")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, *root, teeth.Selection{Name: *name, Sample: *sample}, *rows, *parallel, *list, *unseen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "teeth:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, s teeth.Selection, rows string, parallel int, list, unseen bool) (ok bool, err error) {
	if root, err = filepath.Abs(root); err != nil {
		return false, err
	}
	if rows != "" {
		if s.Rows, err = contract.ParseList(rows); err != nil {
			return false, err
		}
	}
	mutants, broken, err := teeth.Load(root)
	if err != nil {
		return false, err
	}
	journal := teeth.Journal(filepath.Join(root, ledger.TeethFile))
	newest, err := journal.Newest()
	if err != nil {
		return false, err
	}
	hashes := map[string]string{}
	for _, m := range mutants {
		if hashes[m.Name], err = m.Hash(root); err != nil {
			return false, err
		}
	}
	s.Salt = head(root)
	chosen := s.Select(mutants, newest, hashes)
	if list {
		for _, m := range chosen {
			fmt.Printf("%s (rows %s)\n    %s\n", m.Name, numbers(m.Rows), m.Story)
			if m.Replays != "" {
				fmt.Printf("    like %s\n", m.Replays)
			}
		}
		fmt.Printf("\n%s", teeth.CensusOf(chosen))
		return len(broken) == 0, nil
	}
	p := progress{began: time.Now(), all: len(chosen), newest: newest}
	for name, err := range broken {
		p.print(teeth.Record{Name: name, Verdict: teeth.Failed, Why: "the patch cannot be read: " + err.Error()}, nil)
	}
	if len(chosen)+len(broken) == 0 {
		return false, fmt.Errorf("no mutant of %s is meant", teeth.Dir)
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	p.start(chosen, s.Sample > 0, len(mutants))
	byName := map[string]teeth.Mutant{}
	for _, m := range chosen {
		byName[m.Name] = m
	}
	library := ""
	if unseen {
		library = teeth.Library
	}
	if len(chosen) > 0 {
		_, err = teeth.Run(ctx, teeth.Options{
			Root: root, Work: filepath.Join(root, ".cache", "teeth"), Journal: journal, Parallel: parallel,
			Measure: []string{self, measure},
			Library: library,
			Report:  func(r teeth.Record) { p.done++; p.print(r, byName[r.Name].Rows) },
			Notice:  func(text string) { fmt.Printf("%s %s\n", p.clock(), text) },
		}, chosen)
	}
	if err != nil {
		return false, err
	}
	if p.costly.CPUSeconds >= 0.1 {
		fmt.Printf("teeth: the most CPU time was used for %s: %.1f s\n", p.costly.Name, p.costly.CPUSeconds)
	}
	fmt.Printf("teeth: %d caught, %d survived, %d errors\n", p.caught, p.survived, p.errors)
	c := tally.Count{Step: "teeth", Passed: p.caught, Failed: p.survived + p.errors, Failures: p.failures}
	return c.Failed == 0, tally.Append(c)
}

type progress struct {
	began                    time.Time
	all, done                int
	caught, survived, errors int
	failures                 []string
	newest                   map[string]teeth.Record
	costly                   teeth.Record
	expected                 time.Duration // of all, by earlier runs
}

func (p *progress) start(chosen []teeth.Mutant, sampled bool, of int) {
	known := 0
	for _, m := range chosen {
		if r, ok := p.newest[m.Name]; ok {
			known++
			p.expected += time.Duration(r.Seconds * float64(time.Second))
		}
	}
	if known > 0 { // the unknown ones take as long as the others, two at a time
		p.expected = p.expected * time.Duration(len(chosen)) / time.Duration(known) / 2
	}
	what := fmt.Sprintf("%d of %d mutants", len(chosen), of)
	if sampled {
		what = fmt.Sprintf("a sample of %d of %d mutants", len(chosen), of)
	}
	about := ""
	if p.expected > 0 {
		about = fmt.Sprintf(", about %s", p.expected.Round(time.Second))
	}
	fmt.Printf("teeth: %s%s\n", what, about)
}

// clock is the time since the start, how far it is, and what is left.
func (p *progress) clock() string {
	since := time.Since(p.began)
	left := ""
	if p.done > 0 && p.done < p.all {
		left = fmt.Sprintf(", about %s left", (since / time.Duration(p.done) * time.Duration(p.all-p.done)).Round(time.Second))
	}
	return fmt.Sprintf("[%s, %d of %d%s]", since.Round(time.Second), p.done, p.all, left)
}

func (p *progress) print(r teeth.Record, rows []int) {
	switch r.Verdict {
	case teeth.Caught:
		p.caught++
		if r.CPUSeconds > p.costly.CPUSeconds {
			p.costly = r
		}
		cpu := ""
		if r.CPUSeconds >= 0.1 {
			cpu = fmt.Sprintf(", %.1f CPU-s", r.CPUSeconds)
		}
		fmt.Printf("%s caught    %s (rows %s) in %.1f s%s\n", p.clock(), r.Name, numbers(rows), r.Seconds, cpu)
		return
	case teeth.Survived:
		p.survived++
	default:
		p.errors++
	}
	p.failures = append(p.failures, "mutant "+r.Name)
	fmt.Printf("%s %-9s %s (rows %s): %s\n", p.clock(), strings.ToUpper(string(r.Verdict)), r.Name, numbers(rows), r.Why)
}

func numbers(rows []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(rows), " ", ", "), "[]")
}

// head is the commit, by which samples of fresh checkouts differ.
func head(root string) string {
	cmd := exec.Command("git", "-c", "safe.directory=*", "rev-parse", "HEAD")
	cmd.Dir = root
	out, _ := cmd.Output() // without git every checkout draws the same sample
	return string(out)
}
