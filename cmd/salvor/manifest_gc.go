// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/recovery"
)

func newManifestGCCommand(f *rootFlags) *cobra.Command {
	var keep manifest.Retention
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove history that nobody needs",
		Long: `Removes old publications, spent checkpoints, and table versions that no kept
publication and no pending operation names.

Kept are: the newest --keep publications, everything younger than --max-age (never
less than 1h), everything back to where the oldest pending operation started, and
what open readers have pinned. Objects under tables/ that salvor did not write are
listed and stay. The mirrors of logs (wal/, snapshot/) stay too: each writer removes what
is not needed of its own, and salvor store mirror drop that of one who is gone. Several collections at once do no harm.`,
		Example: `  salvor manifest gc --root file:///var/lib/salvor/root --dry-run
  salvor manifest gc --root s3://stores/orders --keep 256 --max-age 6h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := f.manifest(cmd.Context())
			if err != nil {
				return err
			}
			p := newProgress(cmd.ErrOrStderr())
			c, err := m.Collect(cmd.Context(), manifest.CollectOptions{
				Retention: keep, Pending: recovery.Pending(m.Bucket()), By: manifest.ProcessID(newID()), DryRun: dryRun,
				Progress: func(c manifest.Collected) {
					p.say("%d table versions, %d publications", c.Versions, c.Publications)
				},
			})
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), c, func(w io.Writer) { printCollected(w, c) })
		},
	}
	cmd.Flags().Uint64Var(&keep.Versions, "keep", 1024, "how many of the newest publications stay")
	cmd.Flags().DurationVar(&keep.Age, "max-age", 24*time.Hour, "what is younger stays")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would go, and change nothing")
	return cmd
}

func printCollected(w io.Writer, c *manifest.Collected) {
	verb := "removed"
	if c.DryRun {
		verb = "would remove"
	}
	fmt.Fprintf(w, "%s %d publications, %d checkpoints, %d table versions (%d bytes), %d others\n",
		verb, c.Publications, c.Checkpoints, c.Versions, c.Bytes, c.Others)
	fmt.Fprintf(w, "boundary %d (was %d), the newest version is %d; held by %s\n", c.Boundary, c.Before, c.Newest, c.HeldBy)
	for _, key := range c.Foreign {
		fmt.Fprintf(w, "left alone, not salvor's: %s\n", key)
	}
}
