// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Command logbench measures store/log beside its peers: commits a second that are
// durable before the answer, by so many writers at once, in one run and one directory.
//
//	go run . -dir /var/lib/bench -window 1s -rounds 5
//
// The systems of a cell take turns, window by window (ABAB); a figure is the median of
// the windows. It is a module of its own: nobody who embeds the log needs its peers.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// system is a log that takes records from many writers.
type system struct {
	name string
	open func(dir string) (commit func(body []byte) error, end func() error, err error)
	// alone: one writer only; it is a yardstick of the disk.
	alone bool
}

// result is one window.
type result struct {
	rate   float64
	p50    time.Duration
	p99    time.Duration
	allocs float64
}

func main() {
	dir := flag.String("dir", "", "where the logs stand: a directory on the disk to measure")
	window := flag.Duration("window", time.Second, "length of one window")
	rounds := flag.Int("rounds", 5, "windows for each figure")
	writers := flag.String("writers", "1,16,64,256", "how many writers at once")
	sizes := flag.String("sizes", "128,1024", "bytes of a record")
	only := flag.String("only", "", "systems whose name contains one of these, separated by commas")
	replay := flag.Int("replay", 0, "MiB of log to write and to replay, instead of commits")
	flag.Parse()
	if err := run(*dir, *window, *rounds, ints(*writers), ints(*sizes), *only, *replay); err != nil {
		fmt.Fprintln(os.Stderr, "logbench:", err)
		os.Exit(1)
	}
}

func ints(s string) []int {
	var out []int
	for _, f := range strings.Split(s, ",") {
		n, err := strconv.Atoi(f)
		if err != nil {
			fmt.Fprintln(os.Stderr, "logbench:", err)
			os.Exit(2)
		}
		out = append(out, n)
	}
	return out
}

func run(dir string, window time.Duration, rounds int, writers, sizes []int, only string, replay int) error {
	dir, err := os.MkdirTemp(dir, "logbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if replay > 0 {
		return measureReplay(dir, replay, sizes)
	}
	var chosen []system
	for _, s := range systems {
		if only == "" || slices.ContainsFunc(strings.Split(only, ","), func(part string) bool { return strings.Contains(s.name, part) }) {
			chosen = append(chosen, s)
		}
	}
	fmt.Printf("GOMAXPROCS %d, %d windows of %s each, medians; load %s\n", runtime.GOMAXPROCS(0), rounds, window, load())
	for _, size := range sizes {
		for _, n := range writers {
			if err := cell(dir, chosen, size, n, window, rounds); err != nil {
				return err
			}
		}
	}
	return nil
}

// load is what else the machine has to do.
func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(raw))[:2], " ")
}

// cell measures all systems with so many writers and records of this size.
func cell(dir string, chosen []system, size, writers int, window time.Duration, rounds int) error {
	type opened struct {
		system
		commit  func([]byte) error
		end     func() error
		results []result
	}
	var all []*opened
	for i, s := range chosen {
		if s.alone && writers > 1 {
			continue
		}
		at := filepath.Join(dir, fmt.Sprintf("%d-%d-%d", size, writers, i))
		if err := os.MkdirAll(at, 0o750); err != nil {
			return err
		}
		commit, end, err := s.open(at)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, &opened{system: s, commit: commit, end: end})
	}
	for round := range rounds + 1 {
		for _, o := range all {
			r, err := measure(o.commit, size, writers, window)
			if err != nil {
				return fmt.Errorf("%s: %w", o.name, err)
			}
			if round > 0 { // the first one warms up
				o.results = append(o.results, r)
			}
		}
	}
	fmt.Printf("\n%d bytes, %d writers; load %s\n", size, writers, load())
	fmt.Printf("| %-34s | %10s | %10s | %10s | %10s | %8s | %8s |\n", "system", "commits/s", "least", "most", "p50", "p99", "allocs")
	for _, o := range all {
		rates := pick(o.results, func(r result) float64 { return r.rate })
		fmt.Printf("| %-34s | %10.0f | %10.0f | %10.0f | %10s | %8s | %8.2f |\n", o.name, median(rates), slices.Min(rates), slices.Max(rates),
			time.Duration(median(pick(o.results, func(r result) float64 { return float64(r.p50) }))).Round(time.Microsecond),
			time.Duration(median(pick(o.results, func(r result) float64 { return float64(r.p99) }))).Round(time.Microsecond),
			median(pick(o.results, func(r result) float64 { return r.allocs })))
		if err := o.end(); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	return nil
}

func pick(rs []result, of func(result) float64) []float64 {
	var out []float64
	for _, r := range rs {
		out = append(out, of(r))
	}
	return out
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return xs[len(xs)/2]
}

// measure lets writers commit, each one after the other, for as long as the window is.
func measure(commit func([]byte) error, size, writers int, window time.Duration) (result, error) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	counts := make([]int, writers)
	errs := make([]error, writers)
	// One in sixteen is timed, into memory that is there before.
	times := make([][]time.Duration, writers)
	for i := range times {
		times[i] = make([]time.Duration, 0, 1<<16/writers)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	for i := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			body := make([]byte, size)
			for j := range body {
				body[j] = byte(i + j)
			}
			for n := 0; !stop.Load(); n++ {
				timed := n%16 == 0 && len(times[i]) < cap(times[i])
				var from time.Time
				if timed {
					from = time.Now()
				}
				if errs[i] = commit(body); errs[i] != nil {
					return
				}
				if timed {
					times[i] = append(times[i], time.Since(from))
				}
				counts[i]++
			}
		}()
	}
	time.Sleep(window)
	stop.Store(true)
	wg.Wait()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	total := 0
	var lat []time.Duration
	for i := range writers {
		if errs[i] != nil {
			return result{}, errs[i]
		}
		total += counts[i]
		lat = append(lat, times[i]...)
	}
	slices.Sort(lat)
	r := result{rate: float64(total) / took.Seconds(), allocs: float64(after.Mallocs-before.Mallocs) / float64(max(total, 1))}
	if len(lat) > 0 {
		r.p50, r.p99 = lat[len(lat)/2], lat[len(lat)*99/100]
	}
	return r, nil
}
