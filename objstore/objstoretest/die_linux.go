// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package objstoretest

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the server when this test process dies without
// its cleanup: killed, or a test that ran into its time limit.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
