// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/hack/cluster/internal/cluster"
)

func downCommand() *cobra.Command {
	var (
		name string
		data bool
	)
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End the cluster and give the machine back as it was",
		Long: `Ends the recorded processes and the cluster's own containers, and removes its
links, mounts, packet filter tables, control groups and files; kernel settings
get their former values. Works after a start that was killed anywhere, may be
run twice, and has nothing to do without a cluster. Built programs stay.`,
		Example: `  go run . down
  go run . down --data=false    # volumes, etcd and images stay for the next up`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			return cluster.Down(cmd.Context(), newLog(), name, !data)
		},
	}
	nameFlag(cmd, &name)
	cmd.Flags().BoolVar(&data, "data", true, "remove data too: volumes, etcd, loaded images")
	return cmd
}
