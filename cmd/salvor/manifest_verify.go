// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/store/log/mirror"
)

func newManifestVerifyCommand(f *rootFlags) *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every publication, every checkpoint and every table that the store consists of",
		Long: `Reads the manifest from the boundary on: every publication is whole, follows the
one before, and decides no operation twice; every checkpoint says what the
publications say; every table version of the newest state is there and is the one
that was published; the mirror of each writer's log has what a restore needs. All that is wrong is reported in one walk, with what to do.

Exit codes: 0 good, 1 bad, 2 could not look.`,
		Example: `  salvor manifest verify --root file:///var/lib/salvor/root
  salvor manifest verify --root s3://stores/orders --deep -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			p := newProgress(cmd.ErrOrStderr())
			v, err := manifest.Verify(cmd.Context(), b, manifest.VerifyOptions{Deep: deep, Progress: func(done string) { p.say("%s", done) }})
			if err != nil {
				return err
			}
			mirrors, err := verifyMirrors(cmd.Context(), b, v, deep)
			if err != nil {
				return err
			}
			all := struct {
				*manifest.Verification
				Mirrors []*mirror.Check `json:"mirrors,omitempty"`
			}{v, mirrors}
			if err := f.print(cmd.OutOrStdout(), all, func(w io.Writer) {
				printManifestVerification(w, v)
				printMirrors(w, mirrors)
			}); err != nil {
				return err
			}
			if len(v.Problems) > 0 {
				return bad("%d objects are not as they should be", len(v.Problems))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "read every table version whole, not only its first line")
	return cmd
}

func printManifestVerification(w io.Writer, v *manifest.Verification) {
	for _, p := range v.Problems {
		fmt.Fprintln(w, p)
	}
	fmt.Fprintf(w, "store %s, versions %d to %d: %d publications, %d checkpoints, %d tables looked at, %d problems\n",
		v.Store, v.First, v.Newest, v.Publications, v.Checkpoints, v.Tables, len(v.Problems))
}
