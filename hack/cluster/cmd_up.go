// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/hack/cluster/internal/cluster"
	"github.com/salvor-io/salvor/hack/cluster/internal/doctor"
)

const defaultName = "salvor"

// nameFlag adds the flag that chooses the cluster.
func nameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", defaultName, "name of the cluster")
}

func upCommand() *cobra.Command {
	var (
		c        cluster.Config
		networks networkFlags
	)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the cluster, or what of it does not run",
		Long: `Builds what is not built yet, then starts a cluster whose API server listens on
loopback, with cluster DNS and a default StorageClass. The processes live on
when this command ends. A start that was interrupted goes on where it stopped;
on a cluster that runs, nothing happens.

The kubeconfig's path is printed.`,
		Example: `  go run . up
  go run . up --nodes 2 --node-grace 20s
  export KUBECONFIG=$(go run . up)`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if c.PodCIDR, c.ServiceCIDR, err = networks.parse(); err != nil {
				return err
			}
			c.Asked = cmd.Flags().Changed
			if err := examine(cmd, c); err != nil {
				return err
			}
			s, err := cluster.Up(cmd.Context(), newLog(), c)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), s.Kubeconfig())
			return nil
		},
	}
	nameFlag(cmd, &c.Name)
	f := cmd.Flags()
	f.IntVar(&c.Nodes, "nodes", 1, "number of nodes; a running cluster only grows")
	networks.add(cmd)
	f.BoolVar(&c.Options.FastRestarts, "fast-restarts", true, "a crashed container starts again after at most 1s; Kubernetes' own backoff of 10s to 5m otherwise")
	f.BoolVar(&c.Options.AuditLog, "audit-log", false, "the API server writes every request's metadata to logs/audit.log in the state folder")
	f.BoolVar(&c.Options.OwnCores, "own-cores", false, "no two nodes share a core; the control plane has those of the first node")
	f.DurationVar(&c.Options.NodeGrace, "node-grace", 0, "after this silence a node counts as lost (default: Kubernetes' own)")
	return cmd
}

// examine has the doctor look before a new cluster changes the machine. A
// cluster that is there already has passed, and its own use of memory and
// ports must not count against it.
func examine(cmd *cobra.Command, c cluster.Config) error {
	if err := needRoot(); err != nil {
		return err
	}
	if _, err := cluster.Load(c.Name); !errors.Is(err, cluster.ErrNoCluster) {
		return err
	}
	found := doctor.Judge(doctor.Look(cmd.Context(), c.PodCIDR, c.ServiceCIDR), doctor.ForCluster)
	if doctor.Blocking(found) {
		tell(cmd.ErrOrStderr(), found)
		return errCannotRun
	}
	return nil
}
