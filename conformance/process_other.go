// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package conformance

import (
	"context"
	"os/exec"
)

func shell(ctx context.Context, command string) *exec.Cmd {
	return exec.CommandContext(ctx, "cmd", "/C", command)
}

func killAll(cmd *exec.Cmd) { _ = cmd.Process.Kill() } // it may be gone
