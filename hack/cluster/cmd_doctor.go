// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/hack/cluster/internal/doctor"
)

// networkFlags are shared by the commands that care about addresses.
type networkFlags struct{ pods, services string }

func (f *networkFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.pods, "pod-cidr", "10.244.0.0/16", "pod network, a /24 of it per node")
	cmd.Flags().StringVar(&f.services, "service-cidr", "10.96.0.0/16", "service network")
}

func (f *networkFlags) parse() (pods, services netip.Prefix, err error) {
	if pods, err = netip.ParsePrefix(f.pods); err != nil {
		return pods, services, err
	}
	services, err = netip.ParsePrefix(f.services)
	return pods, services, err
}

func doctorCommand() *cobra.Command {
	var (
		networks        networkFlags
		output, purpose string
		fix             bool
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell whether this machine can run a cluster, and what to do if not",
		Long: `Looks at system, rights, control groups, kernel, packages, disk, memory, ports,
routes, neighbours and leftovers, and tells all findings at once with their
remedies. Exit code 2 if any of them blocks.`,
		Example: `  go run . doctor
  go run . doctor --fix          # as root: installs missing packages first
  go run . doctor --for build    # what building programs wants, without root`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pods, services, err := networks.parse()
			if err != nil {
				return err
			}
			if purpose != string(doctor.ForCluster) && purpose != string(doctor.ForBuild) {
				return fmt.Errorf("--for %s: want cluster or build", purpose)
			}
			look := func() []doctor.Finding {
				return doctor.Judge(doctor.Look(cmd.Context(), pods, services), doctor.Purpose(purpose))
			}
			found := look()
			if fix {
				if err := doctor.Fix(cmd.Context(), found, cmd.ErrOrStderr()); err != nil {
					fmt.Fprintln(cmd.ErrOrStderr(), "fix:", err)
				}
				found = look()
			}
			if found == nil {
				found = []doctor.Finding{}
			}
			if err := print(cmd.OutOrStdout(), output, found, func(w io.Writer) { tell(w, found) }); err != nil {
				return err
			}
			if doctor.Blocking(found) {
				return errCannotRun
			}
			return nil
		},
	}
	networks.add(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&purpose, "for", string(doctor.ForCluster), "cluster, or build for building programs only")
	cmd.Flags().BoolVar(&fix, "fix", false, "install missing packages and load missing kernel modules first")
	return cmd
}

// tell prints findings for people, and at the end the one line that installs
// all packages.
func tell(w io.Writer, found []doctor.Finding) {
	for _, f := range found {
		mark := "note   "
		if f.Blocking {
			mark = "BLOCKED"
		}
		fmt.Fprintf(w, "%s %-12s %s\n", mark, f.Check, f.Problem)
		if f.Remedy != "" {
			fmt.Fprintf(w, "%20s -> %s\n", "", f.Remedy)
		}
	}
	if packages := doctor.Packages(found); len(packages) > 0 {
		fmt.Fprintf(w, "\nAll missing packages at once (or: doctor --fix):\n  %s\n", doctor.AptLine(packages))
	}
	if !doctor.Blocking(found) {
		fmt.Fprintln(w, "This machine can run it.")
	}
}
