// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

func newRecoverCommand() *cobra.Command {
	f := &rootFlags{}
	var endEpochs bool
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Finish or close what crashed writers left pending in a root, without the operator",
		Long: `Takes each sidecar under recovery/ as far as it goes by itself: confirmed
operations are published, unconfirmed ones are closed, decided ones are recorded
and cleaned up. An operation whose writer has not been succeeded by another
process is left alone, unless --end-epochs says that no writer runs: a live one
would have to register again, and would lose nothing.

Exit codes: 0 nothing is left pending, 1 something is (see the reasons), 2 the
root could not be worked on.`,
		Example: `  salvor recover --root file:///var/lib/salvor/root --keys /etc/salvor/audit-keys
  salvor recover --root file:///var/lib/salvor/root --keys /etc/salvor/audit-keys --end-epochs`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return recoverRoot(cmd, f, recovery.RollForwardOnly{EndEpoch: endEpochs})
		},
	}
	f.addTo(cmd)
	f.addKeysTo(cmd)
	cmd.Flags().BoolVar(&endEpochs, "end-epochs", false, "no writer of this store runs: end their epochs where needed")
	return cmd
}

func recoverRoot(cmd *cobra.Command, f *rootFlags, a recovery.Authority) error {
	ctx := cmd.Context()
	keys, err := f.keyring()
	if err != nil {
		return err
	}
	m, err := f.manifest(ctx)
	if err != nil {
		return err
	}
	process := manifest.ProcessID(newID())
	trail, err := audit.Open(m.Bucket(), "main", keys, audit.Options{Recoverer: string(process)})
	if err != nil {
		return err
	}
	listed, err := recovery.List(ctx, m.Bucket())
	if err != nil {
		return err
	}
	r := recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: process, Actor: "salvor recover"})
	pending := 0
	for rep, err := range recoverAll(ctx, r, listed, a) {
		if err != nil {
			return err
		}
		if !rep.Complete {
			pending++
		}
		if err := printReport(cmd, f, rep); err != nil {
			return err
		}
	}
	if pending > 0 {
		return bad("%d of %d operations are still pending", pending, len(listed))
	}
	if f.output == "text" {
		fmt.Fprintf(cmd.OutOrStdout(), "nothing is pending (%d resolved)\n", len(listed))
	}
	return nil
}

// atOnce is how many operations are recovered at a time: they share publications,
// audit objects and reading, the more the more there are.
const atOnce = 256

// recoverAll yields a report of each listed operation, in the order of the list,
// and stops at the first error.
func recoverAll(ctx context.Context, r *recovery.Recoverer, listed []recovery.Listed, a recovery.Authority) iter.Seq2[recovery.Report, error] {
	type result struct {
		rep recovery.Report
		err error
	}
	return func(yield func(recovery.Report, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		results := make([]chan result, len(listed))
		for i := range results {
			results[i] = make(chan result, 1)
		}
		var next atomic.Int64
		for range min(atOnce, len(listed)) {
			all.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(listed)) && ctx.Err() == nil; i = next.Add(1) - 1 {
					rep, err := r.Recover(ctx, listed[i].Key, a)
					results[i] <- result{rep, err}
				}
			})
		}
		for i := range results {
			select {
			case one := <-results[i]:
				if !yield(one.rep, one.err) || one.err != nil {
					return
				}
			case <-ctx.Done():
				yield(recovery.Report{}, context.Cause(ctx))
				return
			}
		}
	}
}

func printReport(cmd *cobra.Command, f *rootFlags, rep recovery.Report) error {
	out := cmd.OutOrStdout()
	if f.output == "json" {
		return json.NewEncoder(out).Encode(map[string]any{
			"key": rep.Key, "operation": rep.Operation, "phase": rep.Phase, "decision": rep.Verdict.Decision.String(),
			"reason": rep.Verdict.Reason, "message": rep.Verdict.Message, "complete": rep.Complete, "outcome": rep.Outcome,
		})
	}
	done := "pending"
	if rep.Complete {
		done = "complete"
	}
	_, err := fmt.Fprintf(out, "%s\t%s\t%s (%s)\t%s\n", rep.Operation, done, rep.Verdict.Decision, rep.Verdict.Reason, rep.Verdict.Message)
	return err
}
