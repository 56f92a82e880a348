// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/hack/cluster/internal/build"
	"github.com/salvor-io/salvor/hack/cluster/internal/cluster"
	"github.com/salvor-io/salvor/hack/cluster/internal/image"
	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
)

func imageCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Pack programs into images and load them, without a registry"}
	cmd.AddCommand(imagePackCommand(), imageLoadCommand())
	return cmd
}

func imagePackCommand() *cobra.Command {
	var (
		binary, out string
		adds        []string
		debian      image.Debian
		shell       bool
		o           image.Options
	)
	cmd := &cobra.Command{
		Use:   "pack --binary PATH | --debian PACKAGE,... --name REF -o FILE",
		Short: "Pack a static program, or Debian packages, into an image file",
		Long: `Writes a docker-archive with one layer: the program in the root folder as the
entry point, /etc/passwd, the machine's certificate authorities and /tmp.
Equal inputs give an equal file.

--debian packs what is in Debian packages, of the release that this machine runs and
in the versions that it offers now. Nothing is installed; what they depend on is to be
named, too.`,
		Example: `  go run . image pack --binary bin/salvor --name salvor.local/salvor:dev -o salvor.tar
  go run . image pack --binary bin/app --add conf/=/etc/app --cmd serve,--port=80 --user 0 \
      --name salvor.local/app:dev -o app.tar
  go run . image pack --debian libc6,redis-tools --shell --entrypoint /usr/bin/redis-cli \
      --name salvor.local/redis:dev -o redis.tar`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (binary != "") == (len(debian.Packages) > 0) {
				return errors.New("say what to pack: --binary or --debian, one of them")
			}
			o.Sources = []image.Source{image.Base{}}
			if shell {
				busybox, err := cluster.Busybox()
				if err != nil {
					return fmt.Errorf("%w: %w", errCannotRun, err)
				}
				o.Sources = append(o.Sources, cluster.Shell(busybox))
			}
			if binary != "" {
				b := image.Binary{File: binary}
				o.Sources = append(o.Sources, b)
				o.Entrypoint = []string{b.Target()}
			} else {
				cache, err := paths.Cache()
				if err != nil {
					return err
				}
				debian.Cache = filepath.Join(cache, "debian")
				o.Sources = append(o.Sources, debian, image.Usr{})
			}
			for _, arg := range adds {
				add, err := image.ParseAdd(arg)
				if err != nil {
					return err
				}
				o.Sources = append(o.Sources, add)
			}
			if err := image.Pack(o, out); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), out)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&binary, "binary", "", "static Linux program (CGO_ENABLED=0)")
	f.StringSliceVar(&debian.Packages, "debian", nil, "Debian packages instead, separated by commas")
	f.StringSliceVar(&debian.Without, "without", nil, "paths of Debian packages that are left out, with all that begins so")
	f.StringSliceVar(&o.Entrypoint, "entrypoint", nil, "of Debian packages: the program to run, with arguments, separated by commas")
	f.StringVar(&o.Name, "name", "", "reference, as in salvor.local/app:dev")
	f.StringVarP(&out, "output", "o", "", "file to write")
	f.StringArrayVar(&adds, "add", nil, "SRC=/DST: a file or folder more; may be repeated")
	f.StringSliceVar(&o.Cmd, "cmd", nil, "default arguments, separated by commas")
	f.StringArrayVar(&o.Env, "env", nil, "NAME=VALUE; may be repeated")
	f.StringVar(&o.User, "user", "65532", "user id the program runs as")
	f.StringVar(&o.WorkingDir, "workdir", "/", "working directory")
	f.BoolVar(&shell, "shell", false, "add a busybox shell")
	for _, name := range []string{"name", "output"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func imageLoadCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "load FILE...",
		Short: "Load image files into every running node",
		Long: `Loads docker-archive or OCI files into containerd. Pods that use such an image
say imagePullPolicy: Never or IfNotPresent. A name loaded again is replaced;
running pods keep what they have.`,
		Example: `  go run . image load salvor.tar`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := needRoot(); err != nil {
				return err
			}
			s, err := cluster.Load(name)
			if err != nil {
				return err
			}
			bins, err := build.Ensure(cmd.Context(), newLog(), "ctr")
			if err != nil {
				return err
			}
			var errs []error
			for _, file := range files {
				nodes, err := s.LoadImage(cmd.Context(), bins["ctr"], file)
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", file, err))
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", filepath.Base(file), strings.Join(nodes, " "))
			}
			return errors.Join(errs...)
		},
	}
	nameFlag(cmd, &name)
	return cmd
}
