// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Steps runs make targets one after the other, with the time that each took and
// what is still to come, and ends with a plain summary line:
//
//	123 passed, 0 failed, 2 skipped
//
// A step that fails does not stop the others, except one written with a leading
// "!", on which the others stand. Exit code 0: every step and test passed; 1: not.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/salvor-io/salvor/hack/contract/tally"
)

func main() {
	title := flag.String("title", "make test", "what the steps are together")
	cache := flag.String("cache", ".cache", "where durations of earlier runs are kept")
	last := flag.String("finally", "", "a target that runs after the others, whatever became of them")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ok, err := run(*title, *cache, *last, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "steps:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

type step struct {
	target   string
	required bool
	took     time.Duration
	result   string
}

// steps of one run.
type steps struct {
	title   string
	began   time.Time
	timings timings
	tally   string
	list    []step
}

func run(title, cache, last string, targets []string) (ok bool, err error) {
	// A step that is interrupted ends by itself, and then so do we.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)

	if err := os.MkdirAll(cache, 0o755); err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "salvor-steps-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	s := steps{title: title, began: time.Now(), timings: load(filepath.Join(cache, "timings.json")), tally: filepath.Join(dir, "tally")}
	for _, t := range targets {
		target, required := strings.CutPrefix(t, "!")
		s.list = append(s.list, step{target: target, required: required})
	}
	for i := range s.list {
		if err := s.one(i); err != nil {
			return false, err
		}
		if len(interrupted) > 0 {
			return false, fmt.Errorf("interrupted in %s", s.list[i].target)
		}
		if s.list[i].required && s.list[i].result != "ok" {
			fmt.Printf("==> the other steps stand on %s and do not run\n", s.list[i].target)
			break
		}
	}
	if last != "" {
		s.list = append(s.list, step{target: last})
		if err := s.one(len(s.list) - 1); err != nil {
			return false, err
		}
	}
	return s.summary()
}

// one runs a step.
func (s *steps) one(i int) error {
	st := &s.list[i]
	about := ""
	if d := s.timings.of(s.title, st.target); d > 0 {
		about = fmt.Sprintf(", about %s", round(d))
	}
	if left := s.left(i); left > 0 {
		about += fmt.Sprintf("; %s since the start, about %s left", round(time.Since(s.began)), round(left))
	}
	fmt.Printf("\n==> %s, step %d of %d: %s%s\n", s.title, i+1, len(s.list), st.target, about)

	before, err := tally.Read(s.tally)
	if err != nil {
		return err
	}
	began := time.Now()
	cmd := exec.Command(makeProgram(), "--no-print-directory", st.target)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(withoutJobs(os.Environ()), tally.EnvFile+"="+s.tally,
		fmt.Sprintf("SALVOR_STEPS_SECONDS=%.0f", time.Since(s.began).Seconds()))
	err = cmd.Run()
	st.took, st.result = time.Since(began), "ok"
	if err != nil {
		st.result = "FAILED"
		after, terr := tally.Read(s.tally)
		if terr != nil {
			return terr
		}
		if after.Failed == before.Failed { // not by a test that was counted
			if err := tally.AppendTo(s.tally, tally.Count{Step: st.target, Failed: 1, Failures: []string{"step " + st.target}}); err != nil {
				return err
			}
		}
	} else {
		s.timings.set(s.title, st.target, st.took)
	}
	fmt.Printf("<== %s: %s in %s\n", st.target, st.result, round(st.took))
	return nil
}

func (s *steps) left(i int) (d time.Duration) {
	for _, st := range s.list[i:] {
		d += s.timings.of(s.title, st.target)
	}
	return d
}

func (s *steps) summary() (bool, error) {
	sum, err := tally.Read(s.tally)
	if err != nil {
		return false, err
	}
	fmt.Println()
	for _, st := range s.list {
		result := st.result
		if result == "" {
			result = "not run"
		}
		fmt.Printf("  %-8s %8s  %s\n", result, round(st.took), st.target)
	}
	list("failed", sum.Failures)
	list("skipped", sum.Skips)
	if sum.Later > 0 {
		fmt.Printf("%d tests run in \"make prove\" only\n", sum.Later)
	}
	ok := sum.Failed == 0 && !slices.ContainsFunc(s.list, func(st step) bool { return st.result != "ok" })
	if sum.Skipped > 0 && os.Getenv("REQUIRE_NODE") == "1" {
		fmt.Println("REQUIRE_NODE=1: a test that is skipped counts as a failure here")
		ok = false
	}
	fmt.Printf("%s took %s\n%s\n", s.title, round(time.Since(s.began)), sum)
	return ok, nil
}

func list(word string, names []string) {
	const most = 40
	for i, name := range names {
		if i == most {
			fmt.Printf("  and %d more %s\n", len(names)-most, word)
			return
		}
		fmt.Printf("  %s: %s\n", word, name)
	}
}

func makeProgram() string {
	if m := os.Getenv("MAKE"); m != "" {
		return m
	}
	return "make"
}

// withoutJobs takes a parent make's job server out of the environment: its pipe
// is not handed on.
func withoutJobs(env []string) []string {
	for i, e := range env {
		if flags, ok := strings.CutPrefix(e, "MAKEFLAGS="); ok {
			words := slices.DeleteFunc(strings.Fields(flags), func(w string) bool {
				return strings.HasPrefix(w, "--jobserver") || strings.HasPrefix(w, "-j")
			})
			env[i] = "MAKEFLAGS=" + strings.Join(words, " ")
		}
	}
	return env
}

// timings are how long steps took here when they last passed.
type timings struct {
	file string
	took map[string]float64
}

func load(file string) timings {
	t := timings{file: file, took: map[string]float64{}}
	if raw, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(raw, &t.took) // a damaged file only costs estimates
	}
	return t
}

func (t timings) of(title, target string) time.Duration {
	return time.Duration(t.took[title+" "+target] * float64(time.Second))
}

func (t timings) set(title, target string, d time.Duration) {
	t.took[title+" "+target] = d.Seconds()
	if raw, err := json.MarshalIndent(t.took, "", "  "); err == nil {
		_ = os.WriteFile(t.file, raw, 0o644)
	}
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
