// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
)

func newManifestThawCommand(f *rootFlags) *cobra.Command {
	var owner string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "thaw",
		Short: "Release a store's write lock, without the operator",
		Long: `Publishes the release of the write lock with your own credentials. Name the owner
that 'salvor manifest show' tells: a lock that somebody else has taken meanwhile
is not touched. A lock whose time is over needs no thaw: whoever publishes next
ends it. No cluster is asked: it works when the namespace, and everything in it, is
gone. A root that does not answer is asked again, for --wait.

Exit codes: 0 released; 1 lost: it was not held (any more), and the message says what
became of it; 2 it could not be looked at.`,
		Example: `  salvor manifest thaw --root s3://stores/orders --owner 6f0f2d0c-93a8-4f62-a2ab-0f51f1d8a1c2`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer b.Close()
			ended, err := releasing{wait: wait, stderr: cmd.ErrOrStderr()}.release(cmd.Context(), b, owner)
			var notHeld *manifest.NotHeldError
			if errors.As(err, &notHeld) {
				return bad("lost, and nothing was released: %v", err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "thawed at version %d; writers go on by themselves\n", ended.Version)
			return nil
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", releaseFor, "how long a root that does not answer is asked again")
	cmd.Flags().StringVar(&owner, "owner", "", "who holds the lock (required)")
	must(cmd.MarkFlagRequired("owner"))
	return cmd
}

func printLock(l *manifest.Lock) string {
	return fmt.Sprintf("%s since version %d, until %s, by %s: %s", l.Mode, l.Version, l.Until.UTC().Format(time.RFC3339), l.Owner, l.Reason)
}
