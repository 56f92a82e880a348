// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore/rooturl"
	"github.com/salvor-io/salvor/store"
)

func newStoreDumpCommand() *cobra.Command {
	var root string
	var tables []string
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Print every row of every table as the root has it; no pod is needed",
		Long: `Prints one JSON line per row: {"table","key","row"}. All lines are of one version
of the manifest, so that no half of a transaction is among them; what was not yet
published by a checkpoint is not either. Every object is checked against its
digest. The version goes to the standard error.

Exit codes: 0 everything was printed, 2 something could not be read.`,
		Example: `  salvor store dump --root file:///var/lib/salvor/root
  salvor store dump --root 's3://bucket/ledger?endpoint=http://127.0.0.1:7070' --table ledger-0.accounts`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return dump(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), root, tables)
		},
	}
	cmd.Flags().StringVar(&root, "root", "", "the store's root: s3://bucket/prefix?endpoint=..., gs://bucket/prefix, azblob://container/prefix?storage_account=..., file:///directory (required)")
	cmd.Flags().StringArrayVar(&tables, "table", nil, "only this table, by its id (<writer>.<name>); may be given again")
	must(cmd.MarkFlagRequired("root"))
	return cmd
}

func dump(ctx context.Context, stdout, stderr io.Writer, root string, tables []string) error {
	b, err := rooturl.Open(ctx, root, rooturl.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	var ids []manifest.TableID
	for _, t := range tables {
		ids = append(ids, manifest.TableID(t))
	}
	d, err := store.OpenDump(ctx, b, newID, ids...)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	enc := json.NewEncoder(out)
	rows := 0
	for row, err := range d.Rows(ctx) {
		if err != nil {
			return err
		}
		if err := enc.Encode(row); err != nil {
			return err
		}
		rows++
	}
	if err := out.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "manifest %d: %d rows in %d tables\n", uint64(d.Version), rows, len(d.Tables))
	return nil
}
