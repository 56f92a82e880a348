// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/store"
	"github.com/salvor-io/salvor/store/load"
)

func newStoreLoadCommand() *cobra.Command {
	opt := load.Options{NewID: newID}
	var file string
	var duration time.Duration
	var rate float64
	var open, trace bool
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Put transactions on stores, so that what is lost can be told",
		Long: `Each transaction writes the same token to several tables and is sent again, under
its id, until it is answered. With --verify every acknowledged transaction is
recorded in a file, fsynced, and checked through the API at the end; salvor store
load verify checks the file again later.

With --open transactions are sent by the clock, as people do who do not know of each
other: one that finds the store busy, frozen or gone is due all the same, and its
latency counts from then. --trace prints what became of each, a JSON line with times
in nanoseconds.

Exit codes: 0 good, 1 something acknowledged is lost or there by half, 2 it could
not be told.`,
		Example: `  salvor store load --target http://127.0.0.1:8410 --transactions 10000 --verify acks.ndjson
  salvor store load --target http://10.0.0.1:8410 --target http://10.0.0.2:8410 --duration 5m --verify acks.ndjson
  salvor store load --open --rate 200 --concurrency 400 --duration 1m --trace`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if trace {
				opt.Trace = tracer(cmd.OutOrStdout())
			}
			switch {
			case open && rate <= 0:
				return errors.New("--open needs --rate: how many transactions a second are due")
			case open:
				opt.Every = time.Duration(float64(len(opt.Targets)) / rate * float64(time.Second))
			case rate > 0:
				opt.Gap = time.Duration(float64(opt.Concurrency) / rate * float64(time.Second))
			}
			if duration > 0 && !cmd.Flags().Changed("transactions") {
				opt.Transactions = 0
			}
			return runLoad(cmd.Context(), cmd.OutOrStdout(), opt, duration, file)
		},
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&opt.Targets, "target", []string{"http://127.0.0.1:8410"}, "URL of a store's API; may be given again")
	fl.IntVar(&opt.Transactions, "transactions", 1000, "how many, over all workers; 0: until it is stopped")
	fl.DurationVar(&duration, "duration", 0, "stop after this time (with no --transactions: however many)")
	fl.IntVar(&opt.Tables, "tables", 3, "tables that each transaction writes")
	fl.IntVar(&opt.Concurrency, "concurrency", 8, "workers")
	fl.IntVar(&opt.Keys, "keys", 1000, "keys that each worker writes, over and over")
	fl.Float64Var(&rate, "rate", 0, "transactions a second over all workers, at most; 0: as fast as they are answered")
	fl.BoolVar(&open, "open", false, "an open loop: send --rate transactions a second, answered or not, with up to --concurrency of them under way")
	fl.BoolVar(&trace, "trace", false, "print a JSON line for each transaction: when it was due, how long it took, which tries failed")
	fl.DurationVar(&opt.Timeout, "timeout", 10*time.Second, "how long one try may take")
	fl.DurationVar(&opt.GiveUp, "give-up", 2*time.Minute, "how long one transaction is sent again")
	fl.StringVar(&file, "verify", "", "record acknowledged transactions in this file, and check them at the end")
	cmd.AddCommand(newStoreLoadVerifyCommand())
	return cmd
}

// tracer prints one line for each transaction.
func tracer(w io.Writer) func(load.Trace) {
	enc := json.NewEncoder(w)
	return func(t load.Trace) { _ = enc.Encode(t) } // a reader that has gone is no reason to end the load
}

func runLoad(ctx context.Context, stdout io.Writer, opt load.Options, duration time.Duration, file string) error {
	during := ctx
	if duration > 0 {
		var cancel context.CancelFunc
		during, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	if file != "" {
		j, err := load.OpenJournal(file)
		if err != nil {
			return err
		}
		defer j.Close()
		opt.Acks = j
	}
	s, err := load.Run(during, opt)
	fmt.Fprintf(stdout, "run %s: %d acknowledged in %s (%.0f/s), p50 %s, p99 %s, %d retries, %d unanswered\n", s.Run, s.Acknowledged,
		s.Elapsed.Round(time.Millisecond), float64(s.Acknowledged)/s.Elapsed.Seconds(), s.P50.Round(time.Microsecond), s.P99.Round(time.Microsecond), s.Retried, s.Unanswered)
	if err != nil || file == "" {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("stopped before anything was checked: run salvor store load verify %s", file)
	}
	return verify(stdout, file, load.APIRows(ctx, opt))
}

func newStoreLoadVerifyCommand() *cobra.Command {
	var targets []string
	var dumpFile, root string
	var giveUp time.Duration
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check that everything acknowledged is there, and nothing by half",
		Long: `Compares a file of acknowledgements with what a store has: through its API (stop
the load first), as a dump has it ("-" for the standard input), or as the root has
it. What was acknowledged after the last checkpoint is not in the root.

Exit codes: 0 good, 1 something is lost or there by half, 2 it could not be told.`,
		Example: `  salvor store load verify acks.ndjson --target http://127.0.0.1:8410
  salvor store dump --root file:///var/lib/salvor/root | salvor store load verify acks.ndjson --dump -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rows, done, err := rowsOf(cmd, targets, giveUp, dumpFile, root)
			if err != nil {
				return err
			}
			return errors.Join(verify(cmd.OutOrStdout(), args[0], rows), done())
		},
	}
	cmd.Flags().StringArrayVar(&targets, "target", nil, "URL of a store's API; may be given again")
	cmd.Flags().DurationVar(&giveUp, "give-up", 30*time.Second, "how long a store that does not answer is asked again")
	cmd.Flags().StringVar(&dumpFile, "dump", "", "file with the output of salvor store dump, or -")
	cmd.Flags().StringVar(&root, "root", "", "the store's root")
	cmd.MarkFlagsMutuallyExclusive("target", "dump", "root")
	cmd.MarkFlagsOneRequired("target", "dump", "root")
	return cmd
}

// rowsOf opens whichever source was named.
func rowsOf(cmd *cobra.Command, targets []string, giveUp time.Duration, dumpFile, root string) (iter.Seq2[store.DumpRow, error], func() error, error) {
	nothing := func() error { return nil }
	switch {
	case len(targets) > 0:
		return load.APIRows(cmd.Context(), load.Options{Targets: targets, GiveUp: giveUp}), nothing, nil
	case dumpFile == "-":
		return load.DumpRows(cmd.InOrStdin()), nothing, nil
	case dumpFile != "":
		f, err := os.Open(dumpFile)
		if err != nil {
			return nil, nil, err
		}
		return load.DumpRows(f), f.Close, nil
	default:
		b, err := (&rootFlags{root: root, output: "text"}).open(cmd.Context())
		if err != nil {
			return nil, nil, err
		}
		d, err := store.OpenDump(cmd.Context(), b, newID)
		if err != nil {
			return nil, nil, errors.Join(err, b.Close())
		}
		return d.Rows(cmd.Context()), b.Close, nil
	}
}

func verify(stdout io.Writer, file string, rows iter.Seq2[store.DumpRow, error]) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := load.Verify(load.ReadAcks(f), rows)
	if err != nil {
		return err
	}
	for _, fault := range r.Faults {
		fmt.Fprintln(stdout, fault)
	}
	fmt.Fprintf(stdout, "verified: %d acknowledged transactions on %d keys, %d rows found: %d lost, %d half\n", r.Acknowledged, r.Keys, r.Rows, r.Lost, r.Half)
	if !r.OK() {
		return bad("%d writes are lost and %d transactions are there by half", r.Lost, r.Half)
	}
	return nil
}
