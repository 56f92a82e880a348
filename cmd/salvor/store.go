// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Run the reference store, put load on it, check it, read what it has published",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newStoreServeCommand(), newStoreDumpCommand(), newStoreLoadCommand(), newStoreClaimCommand(), newStoreMirrorCommand(), newStoreConformCommand(),
		newStoreCheckCommand(), newStoreBenchCommand())
	return cmd
}
