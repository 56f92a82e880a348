// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/load"
	"github.com/salvor-io/salvor/store/log"
)

// benchFlags are the flags of salvor store bench.
type benchFlags struct {
	rootFlags
	dir, sync      string
	writers, sizes []int
	batch, keys    int
	duration       time.Duration
	checkpoint     time.Duration
	rate           float64
	report         func(string)
}

// benchRow is what one load came to.
type benchRow struct {
	Writers int    `json:"writers"`
	Bytes   int    `json:"bytes"`
	Batch   int    `json:"batch"`
	Sync    string `json:"sync"`
	load.Figures
	Rate            float64 `json:"commitsPerSecond"`
	SyncsPerCommit  float64 `json:"syncsPerCommit"`
	AllocsPerCommit float64 `json:"allocsPerCommit"`
	BytesPerCommit  float64 `json:"allocBytesPerCommit"`
	Checkpoints     int64   `json:"checkpoints"`
}

func newStoreBenchCommand() *cobra.Command {
	f := &benchFlags{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what this machine's disk makes of the store",
		Long: `Runs a store in this process, on a new directory below --dir that is gone in the end,
and puts transactions on it, without HTTP: each number of writers with each size of a
row. A commit is measured from the call until it is durable and visible. Checkpoints
go to a root in the same directory.

With --rate transactions are due by the clock, whether or not those before them were
answered, and their time counts from then.

--sync is that of salvor store serve, whose help says what each mode loses.`,
		Example: `  salvor store bench --dir /var/lib/salvor
  salvor store bench --dir /var/lib/salvor --writers 1,16,64,256 --sizes 128,1024 --duration 10s -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.dir, "dir", ".", "directory on the disk to measure")
	fl.IntSliceVar(&f.writers, "writers", []int{1, 16, 64}, "writers at once")
	fl.IntSliceVar(&f.sizes, "sizes", []int{128, 1024}, "bytes of a row")
	fl.IntVar(&f.batch, "batch", 1, "rows in a transaction")
	fl.IntVar(&f.keys, "keys", 10000, "keys that are written, over and over")
	fl.StringVar(&f.sync, "sync", "commit", "when a commit is answered: commit (when it is durable), interval, none")
	fl.DurationVar(&f.duration, "duration", 5*time.Second, "length of each measurement")
	fl.DurationVar(&f.checkpoint, "checkpoint-interval", 10*time.Second, "time between two checkpoints")
	fl.Float64Var(&f.rate, "rate", 0, "transactions a second that are due by the clock; 0: as fast as they are answered")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	return cmd
}

func (f *benchFlags) check() error {
	if _, err := log.ParseSyncMode(f.sync); err != nil {
		return fmt.Errorf("--sync: %w", err)
	}
	switch {
	case f.output != "text" && f.output != "json":
		return fmt.Errorf("--output %q: want text or json", f.output)
	case f.batch < 1 || f.keys < 1 || f.duration <= 0 || f.rate < 0:
		return errors.New("--batch, --keys and --duration have to be more than zero, and --rate not less")
	}
	for _, n := range append(append([]int{}, f.writers...), f.sizes...) {
		if n < 1 {
			return errors.New("--writers and --sizes have to be more than zero")
		}
	}
	return nil
}

func (f *benchFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return err
	}
	f.dir, f.report = dir, func(line string) { fmt.Fprintln(stderr, "salvor store bench:", line) }
	rows := []benchRow{}
	p := newProgress(stderr)
	for _, size := range f.sizes {
		for _, writers := range f.writers {
			p.say("%d of %d measured", len(rows), len(f.sizes)*len(f.writers))
			row, err := f.measure(ctx, writers, size)
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			rows = append(rows, row)
		}
	}
	return f.print(stdout, rows, func(w io.Writer) { printBench(w, rows) })
}

// measure is one number of writers with one size.
func (f *benchFlags) measure(ctx context.Context, writers, size int) (row benchRow, err error) {
	dir, err := os.MkdirTemp(f.dir, "salvor-bench-")
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	mode, err := log.ParseSyncMode(f.sync)
	if err != nil {
		return row, err
	}
	s, err := store.New(store.Options{
		Dir: filepath.Join(dir, "data"), Writer: "bench-0", Process: manifest.ProcessID(newID()), Sync: mode, Checkpoint: f.checkpoint,
		OpenRoot: func(ctx context.Context) (objstore.Bucket, error) {
			return rooturl.Open(ctx, "file://"+filepath.Join(dir, "root"), rooturl.Options{})
		},
		NewID: newID, NewLogID: func() [16]byte { return ulid.Make() }, MaxInFlight: max(1024, 2*writers), Report: f.report,
	})
	if err != nil {
		return row, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); err = errors.Join(err, <-ended) }()
	if err := serves(ctx, s); err != nil {
		return row, err
	}
	during, done := context.WithTimeout(ctx, f.duration)
	defer done()
	l := load.Inside{Writers: writers, Statements: f.batch, Bytes: size, Keys: f.keys}
	if f.rate > 0 {
		l.Every = time.Duration(float64(time.Second) / f.rate)
	}
	row = benchRow{Writers: writers, Bytes: size, Batch: f.batch, Sync: f.sync}
	if row.Figures, err = l.Run(during, s); err != nil || row.Commits == 0 {
		return row, err
	}
	n := float64(row.Commits)
	row.Rate, row.SyncsPerCommit = row.Figures.Rate(), float64(row.Syncs)/n
	row.AllocsPerCommit, row.BytesPerCommit = float64(row.Allocs)/n, float64(row.AllocBytes)/n
	row.Checkpoints = s.Metrics().Checkpoints
	return row, nil
}

// serves waits until the store does.
func serves(ctx context.Context, s *store.Store) error {
	for {
		changed := s.Changed()
		if s.Metrics().Ready {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func printBench(w io.Writer, rows []benchRow) {
	fmt.Fprintf(w, "%8s %8s %6s %9s %12s %10s %10s %10s %14s %14s\n", "WRITERS", "BYTES", "BATCH", "SYNC", "COMMITS/S", "P50", "P99", "MAX", "SYNCS/COMMIT", "ALLOCS/COMMIT")
	for _, r := range rows {
		round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
		fmt.Fprintf(w, "%8d %8d %6d %9s %12.0f %10s %10s %10s %14.3f %14.1f\n", r.Writers, r.Bytes, r.Batch, r.Sync, r.Rate, round(r.P50), round(r.P99), round(r.Max), r.SyncsPerCommit, r.AllocsPerCommit)
	}
}
