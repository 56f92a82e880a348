// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

func newManifestCommand() *cobra.Command {
	f := &rootFlags{}
	cmd := &cobra.Command{
		Use:   "manifest",
		Short: "Look at what a store is, check it, cut its history, take over a restored root",
	}
	f.addTo(cmd)
	cmd.AddCommand(
		newManifestShowCommand(f), newManifestLogCommand(f), newManifestDiffCommand(f), newManifestVerifyCommand(f),
		newManifestGCCommand(f), newManifestAdoptCommand(f), newManifestThawCommand(f),
		newManifestFormatCommand(f),
	)
	return cmd
}

func newManifestShowCommand(f *rootFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Show the newest state: tables, writers, claimant",
		Example: `  salvor manifest show --root file:///var/lib/salvor/root`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := f.manifest(cmd.Context())
			if err != nil {
				return err
			}
			st := m.View()
			return f.print(cmd.OutOrStdout(), st, func(w io.Writer) { printState(w, st) })
		},
	}
}

func printState(w io.Writer, st *manifest.State) {
	fmt.Fprintf(w, "store %s, version %d, generation %d, claimed by %s\n", st.Store, st.Version, st.Generation, st.Claimant)
	if st.Lock != nil {
		fmt.Fprintln(w, "locked:", printLock(st.Lock))
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nTABLE\tVERSION\tOPERATION\tLOG POSITION")
	for _, t := range slices.Sorted(maps.Keys(st.Tables)) {
		p := st.Tables[t]
		fmt.Fprintf(tw, "%s\t%d\t%s\t%d\n", t, p.Number, p.Operation, p.Position)
	}
	fmt.Fprintln(tw, "\nWRITER\tEPOCH\tPROCESS")
	for _, id := range slices.Sorted(maps.Keys(st.Writers)) {
		e := st.Writers[id]
		process := string(e.Process)
		if e.Fenced() {
			process = "(fenced)"
		}
		fmt.Fprintf(tw, "%s\t%d\t%s\n", id, e.Number, process)
	}
	_ = tw.Flush() // the writer below reports
}

func newManifestLogCommand(f *rootFlags) *cobra.Command {
	var last uint64
	cmd := &cobra.Command{
		Use:   "log",
		Short: "List the newest publications, one a line",
		Long: `List the newest publications, one a line: number, when its object was created (by
the object store's clock; a copy of a root has the times of its copying), who
published, and what.`,
		Example: `  salvor manifest log --root file:///var/lib/salvor/root --last 50
  salvor manifest log --root s3://stores/orders --last 1000 -o json | jq 'select(.by.role == "recovery")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := f.manifest(cmd.Context())
			if err != nil {
				return err
			}
			newest := m.View().Version
			first := manifest.Version(1)
			if uint64(newest) > last {
				first = newest - manifest.Version(last) + 1
			}
			for v := first; v <= newest; v++ {
				b, err := m.Batch(cmd.Context(), v)
				if errors.Is(err, objstore.ErrNotFound) {
					fmt.Fprintf(cmd.OutOrStdout(), "%d\t(collected)\n", v)
					continue
				}
				if err != nil {
					return err
				}
				if err := printBatch(cmd.OutOrStdout(), f, b); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().Uint64Var(&last, "last", 20, "how many publications")
	return cmd
}

func printBatch(w io.Writer, f *rootFlags, b *manifest.Batch) error {
	if f.output == "json" {
		return json.NewEncoder(w).Encode(struct {
			Created time.Time `json:"created"`
			*manifest.Batch
		}{b.Created, b})
	}
	who := string(b.By.Role) + " " + string(b.By.Process)
	if b.By.Writer != "" {
		who = string(b.By.Writer)
	}
	var entries []string
	for _, e := range b.Entries {
		s := string(e.Kind)
		for _, word := range []string{string(e.Operation), string(e.Writer), e.Reason} {
			if word != "" {
				s += " " + word
			}
		}
		if len(e.Tables) > 0 {
			s += fmt.Sprintf(" (%d tables)", len(e.Tables))
		}
		entries = append(entries, s)
	}
	_, err := fmt.Fprintf(w, "%d\t%s\tby %s\t%s\n", b.Number, b.Created.UTC().Format(time.RFC3339), who, strings.Join(entries, "; "))
	return err
}

func newManifestAdoptCommand(f *rootFlags) *cobra.Command {
	var expect uint64
	var c manifest.Claimant
	cmd := &cobra.Command{
		Use:   "adopt",
		Short: "Take over a root that was restored or moved: end every epoch, set the claimant",
		Long: `A root that was restored from a copy, swapped or moved is refused by the operator:
its writers' epochs may be alive elsewhere. Adopting ends every epoch, so that
nothing of before can publish, and names who operates the root from now on.

Stop the store's pods first. --expect-version is the version that you looked at
with 'salvor manifest show': if the root moved since, nothing happens.`,
		Example: `  salvor manifest adopt --root s3://stores/orders --expect-version 1042 \
      --namespace shop --name orders --uid $(kubectl get wals -n shop orders -o jsonpath={.metadata.uid}) \
      --cluster $(kubectl get ns kube-system -o jsonpath={.metadata.uid})`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := f.manifest(cmd.Context())
			if err != nil {
				return err
			}
			by := manifest.Publisher{Role: manifest.RoleOperator, Process: manifest.ProcessID(newID())}
			pub, err := m.Adopt(cmd.Context(), by, c, manifest.Version(expect))
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "adopted in manifest %d, generation %d, for %s; every epoch is ended\n", pub.Version, pub.State.Generation, &c)
			return nil
		},
	}
	cmd.Flags().Uint64Var(&expect, "expect-version", 0, "the version that you saw (required)")
	cmd.Flags().StringVar(&c.Name, "name", "", "name of the WALStore that operates the root (required)")
	cmd.Flags().StringVar(&c.Namespace, "namespace", "", "its namespace")
	cmd.Flags().StringVar(&c.UID, "uid", "", "its uid")
	cmd.Flags().StringVar(&c.Cluster, "cluster", "", "uid of its cluster's kube-system namespace")
	must(cmd.MarkFlagRequired("expect-version"))
	must(cmd.MarkFlagRequired("name"))
	return cmd
}
