// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
)

func newManifestDiffCommand(f *rootFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "diff FROM [TO]",
		Short: "Show what changed from one version to another (default: to the newest)",
		Example: `  salvor manifest diff 1040 --root file:///var/lib/salvor/root
  salvor manifest diff 1040 1042 --root s3://stores/orders -o json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := f.manifest(cmd.Context())
			if err != nil {
				return err
			}
			from, err := parseVersion(args[0])
			if err != nil {
				return err
			}
			to := m.View().Version
			if len(args) == 2 {
				if to, err = parseVersion(args[1]); err != nil {
					return err
				}
			}
			if to > m.View().Version || from > to {
				return fmt.Errorf("diff from %d to %d: the versions go up to %d, and the first is the older one", from, to, m.View().Version)
			}
			a, err := m.At(cmd.Context(), from)
			if err != nil {
				return err
			}
			b, err := m.At(cmd.Context(), to)
			if err != nil {
				return err
			}
			d := manifest.Compare(a, b)
			return f.print(cmd.OutOrStdout(), d, func(w io.Writer) { printDiff(w, d) })
		},
	}
}

func parseVersion(arg string) (manifest.Version, error) {
	n, err := strconv.ParseUint(arg, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("version %q: want a number, as `salvor manifest log` shows them", arg)
	}
	return manifest.Version(n), nil
}

func printDiff(w io.Writer, d manifest.Diff) {
	fmt.Fprintf(w, "from version %d to %d\n", d.From, d.To)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(d.Tables) > 0 {
		fmt.Fprintln(tw, "\nTABLE\tFROM\tTO\tLOG POSITION")
	}
	for _, t := range d.Tables {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\n", t.Table, t.From.Ref, t.To.Ref, t.To.Position)
	}
	if len(d.Writers) > 0 {
		fmt.Fprintln(tw, "\nWRITER\tFROM\tTO")
	}
	for _, e := range d.Writers {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", e.Writer, e.From, e.To)
	}
	if len(d.Decided) > 0 {
		fmt.Fprintln(tw, "\nOPERATION\tOUTCOME\tVERSION\tBY")
	}
	for _, o := range d.Decided {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\n", o.Operation, o.Kind, o.Version, o.By.Role)
	}
	_ = tw.Flush() // the writer below reports
}
