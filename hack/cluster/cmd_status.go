// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/hack/cluster/internal/cluster"
)

// outputFlag adds -o, whose only other value is json.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "", "json for programs")
}

// print writes data as JSON, or as text by the given function.
func print(w io.Writer, output string, data any, text func(io.Writer)) error {
	switch output {
	case "":
		text(w)
		return nil
	case "json":
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(data)
	}
	return fmt.Errorf("unknown output %q: want json or nothing", output)
}

func statusCommand() *cobra.Command {
	var name, output string
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show the processes and nodes of a cluster; exit code 1 unless all is well",
		Example: "  go run . status -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := cluster.Load(name)
			if err != nil {
				return err
			}
			st := s.Status(cmd.Context())
			err = print(cmd.OutOrStdout(), output, st, func(w io.Writer) {
				tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
				fmt.Fprintln(tw, "PROCESS\tPID\tSTATE\tLOG")
				for _, p := range st.Processes {
					fmt.Fprintf(tw, "%s\t%d\t%s\t%s\n", p.Name, p.PID, p.State, p.Log)
				}
				fmt.Fprintln(tw, "\nNODE\tADDRESS\tSTATE\t")
				for _, n := range st.Nodes {
					fmt.Fprintf(tw, "%s\t%s\t%s\t\n", n.Name, n.Address, n.State)
				}
				tw.Flush()
				fmt.Fprintf(w, "\nAPI server %s: %s\nkubeconfig %s\n", st.Server, st.API, st.Kubeconfig)
			})
			if err != nil {
				return err
			}
			if !st.Healthy {
				return fmt.Errorf("cluster %s is not whole: up starts what is missing", name)
			}
			return nil
		},
	}
	nameFlag(cmd, &name)
	outputFlag(cmd, &output)
	return cmd
}

func kubeconfigCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "kubeconfig",
		Short:   "Print the path of the administrator's kubeconfig",
		Example: "  export KUBECONFIG=$(go run . kubeconfig)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := cluster.Load(name)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), s.Kubeconfig())
			return nil
		},
	}
	nameFlag(cmd, &name)
	return cmd
}
