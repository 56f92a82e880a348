// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/hack/cluster/internal/cluster"
)

func nodeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "Stop, start and add nodes"}
	cmd.AddCommand(nodeStopCommand(), nodeStartCommand(), nodeAddCommand())
	return cmd
}

func nodeStopCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "stop NODE",
		Short: "End a node as if it had lost power",
		Long: `Kills the node's kubelet, containerd and containers. Nothing is told to the API
server: Kubernetes notices by the node's silence (see up --node-grace).`,
		Example: "  go run . node stop salvor-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			return cluster.StopNode(cmd.Context(), newLog(), name, args[0])
		},
	}
	nameFlag(cmd, &name)
	return cmd
}

func nodeStartCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "start NODE",
		Short:   "Start a stopped node and wait until it is ready",
		Example: "  go run . node start salvor-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			return cluster.StartNode(cmd.Context(), newLog(), name, args[0])
		},
	}
	nameFlag(cmd, &name)
	return cmd
}

func nodeAddCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Add a node and print its name",
		Long: `Starts one more containerd and kubelet with files, a bridge, a pod network and
control groups of their own. Images loaded before must be loaded again.`,
		Example: "  node=$(go run . node add)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			node, err := cluster.AddNode(cmd.Context(), newLog(), name)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), node)
			return nil
		},
	}
	nameFlag(cmd, &name)
	return cmd
}
