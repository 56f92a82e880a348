// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

func newRecoverCommand() *cobra.Command {
	f := &rootFlags{}
	var endEpochs bool
	var planHash, approver string
	var limit int
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Finish or close what crashed writers left pending in a root, without the operator",
		Long: `Takes each sidecar under recovery/ as far as it goes by itself: confirmed
operations are published, unconfirmed ones are closed, decided ones are recorded
and cleaned up. An operation whose writer has not been succeeded by another
process is left alone, unless --end-epochs says that no writer runs: a live one
would have to register again, and would lose nothing.

What readers can see is undone only when --plan-hash names the plan that you have
looked at (salvor plan --root); your name, --approver, stands in the audit trail.

Exit codes: 0 nothing is left pending, 1 something is (see the reasons), 2 the
root could not be worked on.`,
		Example: `  salvor recover --root file:///var/lib/salvor/root --keys /etc/salvor/audit-keys
  salvor recover --root file:///var/lib/salvor/root --keys /etc/salvor/audit-keys --end-epochs
  salvor recover --root file:///var/lib/salvor/root --keys /etc/salvor/audit-keys --limit 100`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			forward := recovery.RollForwardOnly{EndEpoch: endEpochs}
			pass := recovery.Pass{Authority: forward, Limit: limit}
			if planHash != "" {
				if approver == "" {
					return errors.New("--plan-hash undoes what readers can see: say who has looked at it, --approver")
				}
				pass.Authority = recovery.Exclusive{
					Forward: forward, Policy: recovery.OnApproval, Approved: recovery.PlanHash(planHash), Approver: approver,
					Check: func(context.Context) error { return nil }, // nobody elects here: the epoch decides
				}
			}
			return recoverRoot(cmd, f, pass)
		},
	}
	f.addTo(cmd)
	f.addKeysTo(cmd)
	cmd.Flags().BoolVar(&endEpochs, "end-epochs", false, "no writer of this store runs: end their epochs where needed")
	cmd.Flags().StringVar(&planHash, "plan-hash", "", "undo the operation whose plan this is")
	cmd.Flags().StringVar(&approver, "approver", "", "who has looked at the plan")
	cmd.Flags().IntVar(&limit, "limit", 0, "recover at most so many operations (default: all)")
	return cmd
}

func recoverRoot(cmd *cobra.Command, f *rootFlags, p recovery.Pass) error {
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
	r := recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: process, Actor: "salvor recover", Formats: tableFormats(m.Bucket())})
	reports, left := p.Go(ctx, r, listed)
	pending := left
	for rep, err := range reports {
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
	if left > 0 && left == pending {
		return bad("%s: %d of %d operations are left for another pass (--limit)", recovery.RollForwardRequired, left, len(listed))
	}
	if pending > 0 {
		return bad("%d of %d operations are still pending", pending, len(listed))
	}
	if f.output == "text" {
		fmt.Fprintf(cmd.OutOrStdout(), "nothing is pending (%d resolved)\n", len(listed))
	}
	return nil
}

func printReport(cmd *cobra.Command, f *rootFlags, rep recovery.Report) error {
	out := cmd.OutOrStdout()
	if f.output == "json" {
		return json.NewEncoder(out).Encode(map[string]any{
			"key": rep.Key, "operation": rep.Operation, "phase": rep.Phase, "decision": rep.Verdict.Decision.String(),
			"reason": rep.Verdict.Reason, "message": rep.Verdict.Message, "complete": rep.Complete, "outcome": rep.Outcome,
			"disposition": rep.Disposition(nil), "planHash": rep.PlanHash,
		})
	}
	done := "pending"
	if rep.Complete {
		done = "complete"
	}
	_, err := fmt.Fprintf(out, "%s\t%s\t%s (%s)\t%s\n", rep.Operation, done, rep.Verdict.Decision, rep.Verdict.Reason, rep.Verdict.Message)
	return err
}
