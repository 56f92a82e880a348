// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
)

func newStoreClaimCommand() *cobra.Command {
	f := &rootFlags{}
	var c manifest.Claimant
	cmd := &cobra.Command{
		Use:   "claim",
		Short: "Make an empty root a store, and say who operates it",
		Long: `Gives an empty root its identity, unless it has one, and claims it for a WALStore.
The operator does both by itself for roots that it can reach; this is for roots
that are prepared elsewhere. A root that somebody claimed is refused: see
'salvor manifest adopt'.`,
		Example: `  salvor store claim --root s3://stores/orders --namespace shop --name orders`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			if _, err := manifest.CreateIdentity(cmd.Context(), b, newID(), newID(), nil); err != nil {
				return err
			}
			m, err := manifest.Open(cmd.Context(), b, manifest.Options{NewID: newID})
			if err != nil {
				return err
			}
			by := manifest.Publisher{Role: manifest.RoleOperator, Process: manifest.ProcessID(newID())}
			if err := m.Claim(cmd.Context(), by, c); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "store %s is claimed by %s\n", m.Identity().UID, &c)
			return nil
		},
	}
	f.addTo(cmd)
	cmd.Flags().StringVar(&c.Name, "name", "", "name of the WALStore that operates the root (required)")
	cmd.Flags().StringVar(&c.Namespace, "namespace", "", "its namespace")
	cmd.Flags().StringVar(&c.UID, "uid", "", "its uid")
	cmd.Flags().StringVar(&c.Cluster, "cluster", "", "uid of its cluster's kube-system namespace")
	must(cmd.MarkFlagRequired("name"))
	return cmd
}
