// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
)

// formatView is what `salvor manifest format` says.
type formatView struct {
	Version manifest.Version `json:"version"`
	// Level of the store, and the newest that this salvor knows.
	Level int `json:"level"`
	Knows int `json:"knows"`
	// Raised: this call raised it.
	Raised bool `json:"raised,omitempty"`
}

func newManifestFormatCommand(f *rootFlags) *cobra.Command {
	var raise int
	var expect uint64
	cmd := &cobra.Command{
		Use:   "format",
		Short: "Show or raise the format that everybody writes to this root",
		Long: `Every process writes the format that the store allows, not the newest that it
knows, so that the release before can be put back. Raise it when every pod, the
operator and every tool of this root runs a release that knows the new format,
and you do not mean to go back: a format is never lowered, and a release that
does not know it refuses the root and writes nothing.

--expect-version is the version that you looked at: if the root moved since,
nothing happens.`,
		Example: `  salvor manifest format --root s3://stores/orders
  salvor manifest format --root s3://stores/orders --raise 2 --expect-version 1042`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := f.manifest(cmd.Context())
			if err != nil {
				return err
			}
			v := formatView{Version: m.View().Version, Level: m.View().Level(), Knows: m.Formats()}
			if cmd.Flags().Changed("raise") {
				if !cmd.Flags().Changed("expect-version") {
					return fmt.Errorf("--raise needs --expect-version: the root is at version %d now", v.Version)
				}
				by := manifest.Publisher{Role: manifest.RoleOperator, Process: manifest.ProcessID(newID())}
				pub, err := m.RaiseFormat(cmd.Context(), by, raise, manifest.Version(expect))
				if err != nil {
					return err
				}
				v.Version, v.Level, v.Raised = pub.State.Version, pub.State.Level(), pub.Version != 0
			}
			return f.print(cmd.OutOrStdout(), v, func(w io.Writer) {
				if v.Raised {
					fmt.Fprintf(w, "raised in manifest %d\n", v.Version)
				}
				fmt.Fprintf(w, "version %d is written in format %d; this salvor knows formats up to %d\n", v.Version, v.Level, v.Knows)
			})
		},
	}
	cmd.Flags().IntVar(&raise, "raise", 0, "the format that everybody writes from now on")
	cmd.Flags().Uint64Var(&expect, "expect-version", 0, "the version that you saw")
	return cmd
}
