// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Command pause is the first process of every pod: it holds the pod's
// namespaces open and does nothing until it is told to end.
//
// It reaps orphans because it is process 1 where a pod shares its process
// namespace.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
