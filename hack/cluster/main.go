// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/salvor-io/salvor/hack/cluster/internal/cluster"
	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
	"github.com/salvor-io/salvor/hack/cluster/internal/proc"
	"github.com/salvor-io/salvor/hack/cluster/internal/progress"
)

// Exit codes, the same for every command.
const (
	exitFailed    = 1
	exitCannotRun = 2 // this machine lacks something: the message says what
)

// errCannotRun marks an error that the machine and not the work is to blame for.
var errCannotRun = errors.New("this machine cannot run it")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if errors.Is(err, errCannotRun) {
			os.Exit(exitCannotRun)
		}
		os.Exit(exitFailed)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "cluster",
		Short:         "A real Kubernetes cluster on this machine, built from pinned Go modules",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(upCommand(), downCommand(), doctorCommand(), statusCommand(), kubeconfigCommand(),
		imageCommand(), containerCommand(), buildCommand(), nodeCommand(), toolCommand(), envtestCommand())
	cmd.AddCommand(hiddenCommands()...)
	return cmd
}

// hiddenCommands are what this program starts itself as.
func hiddenCommands() []*cobra.Command {
	return []*cobra.Command{
		{
			Use: proc.LaunchCommand + " NAME RECORD GROUPS PROGRAM [ARG...]", Hidden: true, DisableFlagParsing: true,
			RunE: func(_ *cobra.Command, args []string) error {
				if len(args) < 4 {
					return errors.New("want a name, a record file, control groups and a program")
				}
				return proc.Launch(args[0], args[1], args[2], args[3:])
			},
		},
		{
			Use: cluster.RelayCommand + " LISTEN TO", Hidden: true, Args: cobra.ExactArgs(2),
			RunE: func(_ *cobra.Command, args []string) error { return cluster.Relay(args[0], args[1]) },
		},
	}
}

// newLog returns a progress log that learns from earlier runs.
func newLog() *progress.Log {
	cache, err := paths.Cache()
	if err != nil {
		return progress.New("")
	}
	return progress.New(cache + "/timings.json")
}

func needRoot() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: mounts, name spaces and links want root: run it with sudo -E env PATH=\"$PATH\"", errCannotRun)
	}
	return nil
}
