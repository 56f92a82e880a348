// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/hack/cluster/internal/build"
)

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build [NAME...]",
		Short: "Build what a cluster needs, or the named programs",
		Long: `Builds without root what "up" would build. Interrupted, it goes on with what it
compiled so far.`,
		Example:   "  go run . build\n  go run . build versitygw controller-gen",
		ValidArgs: build.Names(),
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = build.Node
			}
			_, err := build.Ensure(cmd.Context(), newLog(), names...)
			return err
		},
	}
}

func toolCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tool NAME",
		Short: "Build a pinned program if needed and print its path",
		Long:  "Builds a program from its pinned module, once per content, and prints its path.",
		Example: `  $(go run . tool kubectl) get pods -A
  versitygw=$(go -C hack/cluster run . tool versitygw)`,
		Args: cobra.ExactArgs(1), ValidArgs: build.Names(),
		RunE: func(cmd *cobra.Command, args []string) error {
			bins, err := build.Ensure(cmd.Context(), newLog(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), bins[args[0]])
			return nil
		},
	}
}

func envtestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "envtest-assets DIR",
		Short: "Link kube-apiserver, etcd and kubectl into a folder for envtest",
		Long: `Builds only the three programs that envtest starts and links them into the
folder, which is what KUBEBUILDER_ASSETS should name. Prints the folder.`,
		Example: `  export KUBEBUILDER_ASSETS=$(go -C hack/cluster run . envtest-assets $PWD/bin/envtest)`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			bins, err := build.Ensure(cmd.Context(), newLog(), build.Envtest...)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for _, name := range build.Envtest {
				link := filepath.Join(dir, name)
				if old, err := os.Readlink(link); err == nil && old == bins[name] {
					continue
				}
				// Made aside and moved, so that a running test never misses it.
				tmp := fmt.Sprintf("%s.%d", link, os.Getpid())
				if err := os.Symlink(bins[name], tmp); err != nil {
					return err
				}
				if err := os.Rename(tmp, link); err != nil {
					return err
				}
			}
			fmt.Fprintln(cmd.OutOrStdout(), dir)
			return nil
		},
	}
}
