// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/salvor-io/salvor/hack/cluster/internal/cluster"
)

// containerFlags choose one container.
type containerFlags struct{ cluster, namespace, pod, container, output string }

func (f *containerFlags) add(cmd *cobra.Command) {
	nameFlag(cmd, &f.cluster)
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "default", "namespace of the pod")
	cmd.Flags().StringVarP(&f.pod, "pod", "p", "", "name of the pod")
	cmd.Flags().StringVarP(&f.container, "container", "c", "", "name of the container, if the pod has several")
	outputFlag(cmd, &f.output)
	_ = cmd.MarkFlagRequired("pod")
}

func (f *containerFlags) find() (cluster.Container, error) {
	s, err := cluster.Load(f.cluster)
	if err != nil {
		return cluster.Container{}, err
	}
	return s.FindContainer(f.namespace, f.pod, f.container)
}

func containerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "container", Short: "Find and signal the processes of containers from the machine's side"}
	cmd.AddCommand(containerPidCommand(), containerSignalCommand(), containerListCommand())
	return cmd
}

func containerPidCommand() *cobra.Command {
	var f containerFlags
	cmd := &cobra.Command{
		Use:     "pid",
		Short:   "Print the machine's id of a container's first process",
		Example: "  go run . container pid -n demo -p store-0 -c store",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.find()
			if err != nil {
				return err
			}
			return print(cmd.OutOrStdout(), f.output, c, func(w io.Writer) { fmt.Fprintln(w, c.PID) })
		},
	}
	f.add(cmd)
	return cmd
}

func containerSignalCommand() *cobra.Command {
	var (
		f    containerFlags
		name string
		all  bool
	)
	cmd := &cobra.Command{
		Use:   "signal",
		Short: "Signal a container's first process and print its id",
		Long: `Sends a signal from outside the container, so that SIGKILL and SIGSTOP work on
its first process. No server is asked: it works while kubelet or the API server
is down.`,
		Example: `  go run . container signal --signal KILL -n demo -p store-0
  go run . container signal --signal STOP -n demo -p store-0 && sleep 30 &&
    go run . container signal --signal CONT -n demo -p store-0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sig, err := parseSignal(name)
			if err != nil {
				return err
			}
			if err := needRoot(); err != nil {
				return err
			}
			c, err := f.find()
			if err != nil {
				return err
			}
			if err := c.Signal(sig, all); err != nil {
				return err
			}
			return print(cmd.OutOrStdout(), f.output, c, func(w io.Writer) { fmt.Fprintln(w, c.PID) })
		},
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&name, "signal", "s", "KILL", "KILL, STOP, CONT, TERM or any other")
	cmd.Flags().BoolVar(&all, "all", false, "signal every process of the container")
	return cmd
}

func containerListCommand() *cobra.Command {
	var name, output string
	cmd := &cobra.Command{
		Use: "list", Short: "List the living containers", Args: cobra.NoArgs,
		Example: "  go run . container list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := cluster.Load(name)
			if err != nil {
				return err
			}
			all, err := s.Containers()
			if err != nil {
				return err
			}
			return print(cmd.OutOrStdout(), output, all, func(w io.Writer) {
				for _, c := range all {
					fmt.Fprintf(w, "%d\t%s\t%s/%s\t%s\n", c.PID, c.Node, c.Namespace, c.Pod, c.Name)
				}
			})
		},
	}
	nameFlag(cmd, &name)
	outputFlag(cmd, &output)
	return cmd
}

// parseSignal accepts KILL and SIGKILL.
func parseSignal(name string) (syscall.Signal, error) {
	upper := strings.ToUpper(name)
	if !strings.HasPrefix(upper, "SIG") {
		upper = "SIG" + upper
	}
	sig := unix.SignalNum(upper)
	if sig == 0 {
		return 0, fmt.Errorf("unknown signal %q: want a name such as KILL, STOP or CONT", name)
	}
	return sig, nil
}
