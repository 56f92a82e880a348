// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Gotest runs "go test" as a step of "make test": it shows progress, prints only
// what failed, counts, and sees to it that results of contract rows are recorded
// with the hash of the code that was built.
//
//	gotest [flags] package... [-- argument of the test binary...]
package main

import (
	"bufio"
	"bytes"
	"context"
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
	"github.com/salvor-io/salvor/test/contract"
	"github.com/salvor-io/salvor/test/contract/tree"
)

type options struct {
	step, tags, run, timeout, only, report string
	race, follow                           bool
	count, parallel                        int
	packages, args                         []string
}

func main() {
	var o options
	flag.StringVar(&o.step, "step", "go test", "name of the step")
	flag.StringVar(&o.tags, "tags", "", "build tags")
	flag.StringVar(&o.run, "run", "", "tests to run, as for go test")
	flag.StringVar(&o.timeout, "timeout", "10m", "time limit of each package")
	flag.StringVar(&o.only, "only", "", "of the packages, those that: library (do without Kubernetes), kubernetes (need it), tagged (have tests of their own for -tags)")
	flag.StringVar(&o.report, "ginkgo-report", "", "file that ginkgo writes its JSON report to: count its specs")
	flag.BoolVar(&o.race, "race", false, "use the race detector")
	flag.BoolVar(&o.follow, "follow", false, "print the tests' output as it comes")
	flag.IntVar(&o.count, "count", 0, "run each test so often; 0: once, from the cache if nothing changed and no results are recorded")
	flag.IntVar(&o.parallel, "p", 0, "packages at a time; 0: as go test does")
	flag.Parse()
	o.packages = flag.Args()
	if i := slices.Index(o.packages, "--"); i >= 0 {
		o.packages, o.args = o.packages[:i], o.packages[i+1:]
	}
	if len(o.packages) == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	count, err := o.test(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	if count.Failed > 0 {
		os.Exit(1)
	}
}

func (o *options) test(ctx context.Context) (tally.Count, error) {
	packages, err := choose(o.packages, o.tags, o.only)
	if err != nil {
		return tally.Count{}, err
	}
	if len(packages) == 0 {
		fmt.Printf("%s: no package has such tests\n", o.step)
		return tally.Count{}, nil
	}
	hashes, err := o.hashes(packages)
	if err != nil {
		return tally.Count{}, err
	}
	if hashes != "" {
		defer os.Remove(hashes)
	}
	if o.report != "" {
		_ = os.Remove(o.report) // of an earlier run
	}

	began := time.Now()
	c := newCounter(len(packages), o.follow)
	err = o.goTest(ctx, packages, hashes, c)
	count := c.sum(o.step, err)
	if o.report != "" {
		specs, err := readReport(o.report)
		if err != nil {
			count.Failed++
			count.Failures = append(count.Failures, fmt.Sprintf("%s: %v", o.step, err))
		}
		count.Add(specs)
	}
	for i, name := range count.Skips {
		if i == 10 {
			fmt.Printf("skipped: and %d more\n", len(count.Skips)-i)
			break
		}
		fmt.Printf("skipped: %s\n", name)
	}
	later := ""
	if count.Later > 0 {
		later = fmt.Sprintf(" (%d more run in make prove)", count.Later)
	}
	fmt.Printf("%s: %s in %s%s\n", o.step, count, time.Since(began).Round(100*time.Millisecond), later)
	return count, tally.Append(count)
}

// hashes writes the content hashes of the packages, before they are built.
func (o *options) hashes(packages []string) (file string, err error) {
	if os.Getenv(contract.EnvDir) == "" {
		return "", nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	var targets []tree.Target
	for _, p := range packages {
		targets = append(targets, contract.Binary{Package: p, Tags: o.tags}.Target())
	}
	sums, err := tree.Hashes(root, targets)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "salvor-hashes-")
	if err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return f.Name(), contract.WriteHashes(f.Name(), sums)
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	return filepath.Clean(strings.TrimSpace(string(out))), err
}

func (o *options) goTest(ctx context.Context, packages []string, hashes string, c *counter) error {
	args := []string{"test", "-json", "-timeout", o.timeout, "-tags", o.tags}
	if o.race {
		args = append(args, "-race")
	}
	if o.run != "" {
		args = append(args, "-run", o.run)
	}
	if o.parallel > 0 {
		args = append(args, "-p", fmt.Sprint(o.parallel))
	}
	if n := o.count; n > 0 || hashes != "" {
		args = append(args, "-count", fmt.Sprint(max(n, 1))) // a cached test records nothing
	}
	args = append(args, packages...)
	if len(o.args) > 0 {
		args = append(append(args, "-args"), o.args...)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	if hashes != "" {
		cmd.Env = append(os.Environ(), contract.EnvHashes+"="+hashes)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go progress(done, o.step, c)
	in := bufio.NewReader(stdout)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				e = event{Action: "output", Output: string(line)}
			}
			c.add(e)
		}
		if err != nil {
			break
		}
	}
	close(done)
	err = cmd.Wait()
	fmt.Print(stderr.String())
	return err
}

// progress says every now and then that the step is alive, and what it does.
func progress(done <-chan struct{}, step string, c *counter) {
	began := time.Now()
	for wait := 2 * time.Second; ; wait = 10 * time.Second {
		select {
		case <-done:
			return
		case <-time.After(wait):
			fmt.Printf("%s: %s, %s\n", step, time.Since(began).Round(time.Second), c.where())
		}
	}
}
