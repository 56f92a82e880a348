// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
)

func newAuditCommand() *cobra.Command {
	f := &rootFlags{}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read and verify the trail of what was recovered, by whom, in which order",
		Long: `The trail lives in the root, so it survives every resource in the cluster.

Exit codes: 0 the trail is good, 1 it is bad, 2 it could not be looked at.`,
	}
	f.addTo(cmd)
	cmd.AddCommand(newAuditLsCommand(f), newAuditVerifyCommand(f))
	return cmd
}

func newAuditLsCommand(f *rootFlags) *cobra.Command {
	var from uint64
	var tables bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the recoveries, oldest first (unverified: see verify)",
		Example: `  salvor audit ls --root file:///var/lib/salvor/root
  salvor audit ls --root file:///var/lib/salvor/root --tables
  salvor audit ls --root 's3://stores/orders?endpoint=http://127.0.0.1:7070' -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			log, err := audit.Open(b, "main", nil, audit.Options{Recoverer: "salvor audit ls"})
			if err != nil {
				return err
			}
			return listRows(cmd, f, log, from, tables)
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 0, "number of the first audit object to read")
	cmd.Flags().BoolVar(&tables, "tables", false, "show each table's version before and after")
	return cmd
}

func listRows(cmd *cobra.Command, f *rootFlags, log *audit.Log, from uint64, tables bool) error {
	out := cmd.OutOrStdout()
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	enc, damaged := json.NewEncoder(out), 0
	if f.output == "text" {
		fmt.Fprintln(tw, "ROW\tTIME\tOUTCOME\tOPERATION\tWRITER\tMANIFEST\tBY\tTABLES\tREASON\tACTOR")
	}
	for row, err := range log.Rows(cmd.Context(), from) {
		var broken *audit.Break
		switch {
		case errors.As(err, &broken):
			damaged++
			fmt.Fprintln(cmd.ErrOrStderr(), "salvor:", broken)
		case err != nil:
			return err
		case f.output == "json":
			if err := enc.Encode(row); err != nil {
				return err
			}
		default:
			fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\n", row.ID, row.Time.Format("2006-01-02T15:04:05.000Z07:00"),
				row.Kind, row.Operation, row.Writer, row.ManifestVersion, row.PublishedBy, len(row.Tables), row.Reason, row.Actor)
			for _, t := range row.Tables {
				if tables {
					fmt.Fprintf(tw, "\t%s\t%s -> %s\n", t.Table, orNone(t.From), orNone(t.To))
				}
			}
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if damaged > 0 {
		return bad("%d objects of the trail are damaged: run `salvor audit verify`", damaged)
	}
	return nil
}

func newAuditVerifyCommand(f *rootFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Walk the whole trail and report every broken range",
		Long: `Checks every hash and signature, the order, and the newest head that a publication
of the manifest remembers: a cut tail shows. Rows newer than that head are
counted as unanchored, never as vouched for.

Exit codes: 0 good, 1 bad, 2 could not look.`,
		Example: `  salvor audit verify --root file:///var/lib/salvor/root --keys /etc/salvor/audit-keys`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := f.keyring()
			if err != nil {
				return err
			}
			m, err := f.manifest(cmd.Context())
			if err != nil {
				return err
			}
			head := m.View().Head
			rep, err := audit.Verify(cmd.Context(), m.Bucket(), "main", keys, audit.VerifyOptions{
				Expect: []audit.Head{{Number: head.Number, Hash: head.Hash}}, StoreUID: m.Identity().UID,
			})
			if err != nil {
				return err
			}
			if err := f.print(cmd.OutOrStdout(), rep, func(w io.Writer) { printVerification(w, rep, head) }); err != nil {
				return err
			}
			if rep.Verdict() != audit.Good {
				return bad("the audit trail is broken in %d places", len(rep.Breaks)+int(rep.MoreBreaks))
			}
			return nil
		},
	}
	f.addKeysTo(cmd)
	return cmd
}

func printVerification(w io.Writer, rep *audit.Report, head manifest.ChainHead) {
	for i := range rep.Breaks {
		fmt.Fprintln(w, rep.Breaks[i].Error())
	}
	fmt.Fprintf(w, "%s: %d rows in %d objects; the manifest remembers object %d; %d rows are newer than that\n",
		rep.Verdict(), rep.Rows, rep.Objects, head.Number, rep.Unanchored)
}
