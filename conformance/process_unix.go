// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package conformance

import (
	"context"
	"os/exec"
	"syscall"
)

// shell is the command in a process group of its own, so that all of it can be killed.
func shell(ctx context.Context, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func killAll(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may be gone
}
