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
	said := &wordFlags{}
	var endEpochs bool
	var planHash string
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

Two decisions are nobody's but a person's. --demote WRITER closes whatever a writer
that is gone has left, also what it had confirmed and what is damaged: it will never
be visible. --promote OPERATION publishes an operation all of whose table versions are
there, although nobody confirmed them. Both say first what is lost or shown, and do
nothing until --yes has the hash of just that; both refuse, with names, while the
writer lives, while somebody holds the store, or while it cannot be told which of two
operations is the right one. An operator closes what is not confirmed within seconds:
suspend its WALStore first (kubectl salvor suspend).

Exit codes: 0 nothing is left pending, 1 something is (see the reasons), 2 the
root could not be worked on.`,
		Example: `  salvor recover --root file:///var/lib/salvor/root --keys /etc/salvor/audit-keys
  salvor recover --root file:///var/lib/salvor/root --keys /etc/salvor/audit-keys --end-epochs
  salvor recover --root file:///var/lib/salvor/root --keys /etc/salvor/audit-keys --limit 100
  salvor recover --root s3://stores/orders --keys /etc/salvor/audit-keys --demote orders-2 --end-epochs
  salvor recover --root s3://stores/orders --keys /etc/salvor/audit-keys --promote 01M8221YGP6RRY5FKNY8S0JGGF \
      --approver ada --yes sha256:2c26b46b…`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			forward := recovery.RollForwardOnly{EndEpoch: endEpochs}
			pass := recovery.Pass{Authority: forward, Limit: limit}
			if spoken, err := said.spoken(planHash, limit); err != nil || spoken {
				if err != nil {
					return err
				}
				r, m, err := f.recoverer(cmd.Context())
				if err != nil {
					return err
				}
				return said.word(cmd, f, r, m, forward)
			}
			if planHash != "" {
				if said.approver == "" {
					return errors.New("--plan-hash undoes what readers can see: say who has looked at it, --approver")
				}
				pass.Authority = recovery.Exclusive{
					Forward: forward, Policy: recovery.OnApproval, Approved: recovery.PlanHash(planHash), Approver: said.approver,
					Check: func(context.Context) error { return nil }, // nobody elects here: the epoch decides
				}
			}
			return recoverRoot(cmd, f, pass)
		},
	}
	f.addTo(cmd)
	f.addKeysTo(cmd)
	said.addTo(cmd)
	cmd.Flags().BoolVar(&endEpochs, "end-epochs", false, "no writer of this store runs: end their epochs where needed")
	cmd.Flags().StringVar(&planHash, "plan-hash", "", "undo the operation whose plan this is")
	cmd.Flags().IntVar(&limit, "limit", 0, "recover at most so many operations (default: all)")
	return cmd
}

func recoverRoot(cmd *cobra.Command, f *rootFlags, p recovery.Pass) error {
	ctx := cmd.Context()
	r, m, err := f.recoverer(ctx)
	if err != nil {
		return err
	}
	listed, err := recovery.List(ctx, m.Bucket())
	if err != nil {
		return err
	}
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

// recoverer is one that works on the root with the caller's credentials and keys.
func (f *rootFlags) recoverer(ctx context.Context) (*recovery.Recoverer, *manifest.Store, error) {
	keys, err := f.keyring()
	if err != nil {
		return nil, nil, err
	}
	m, err := f.manifest(ctx)
	if err != nil {
		return nil, nil, err
	}
	process := manifest.ProcessID(newID())
	trail, err := audit.Open(m.Bucket(), "main", keys, audit.Options{Recoverer: string(process)})
	if err != nil {
		return nil, nil, err
	}
	r := recovery.NewRecoverer(m, trail, recovery.RecovererOptions{Process: process, Actor: "salvor recover", Formats: tableFormats(m.Bucket())})
	return r, m, nil
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
