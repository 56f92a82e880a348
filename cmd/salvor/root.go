// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

// version is set by the linker.
var version = "dev"

func newRootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "salvor",
		Short: "Finish or undo what a crashed writer of a store left half done",
		Long: `salvor heals stores whose pods own a write-ahead log and share one root in object
storage: it finishes what a crashed writer had confirmed, closes what it had not,
exactly once, and records it in a signed trail.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(
		newApproveCommand(),
		newAuditCommand(),
		newConformanceCommand(),
		newFreezeCommand(),
		newLocksCommand(),
		newManifestCommand(),
		newOperatorCommand(),
		newPlanCommand(),
		newRecoverCommand(),
		newResumeCommand(),
		newStatusCommand(),
		newStoreCommand(),
		newSuspendCommand(),
		newThawCommand(),
	)
	return cmd
}
