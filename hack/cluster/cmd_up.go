package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/hack/cluster/internal/cluster"
)

const defaultName = "salvor"

// nameFlag adds the flag that chooses the cluster.
func nameFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "name", defaultName, "name of the cluster")
}

func upCommand() *cobra.Command {
	var (
		c              cluster.Config
		pods, services string
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
			if err := needRoot(); err != nil {
				return err
			}
			var err error
			if c.PodCIDR, err = netip.ParsePrefix(pods); err != nil {
				return err
			}
			if c.ServiceCIDR, err = netip.ParsePrefix(services); err != nil {
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
	f.StringVar(&pods, "pod-cidr", "10.244.0.0/16", "pod network, a /24 of it per node")
	f.StringVar(&services, "service-cidr", "10.96.0.0/16", "service network")
	f.BoolVar(&c.Options.FastRestarts, "fast-restarts", true, "a crashed container starts again after at most 1s; Kubernetes' own backoff of 10s to 5m otherwise")
	f.BoolVar(&c.Options.AuditLog, "audit-log", false, "the API server writes every request's metadata to logs/audit.log in the state folder")
	f.DurationVar(&c.Options.NodeGrace, "node-grace", 0*time.Second, "after this silence a node counts as lost (default: Kubernetes' own)")
	return cmd
}
