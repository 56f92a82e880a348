// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/proc"
)

// stopNode ends a node as a power cut would: kubelet and containerd first, so
// that nothing is started again, then everything that lives in the node's
// control groups, then the shims.
func (s *State) stopNode(ctx context.Context, n Node) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var ids []proc.ID
	for _, name := range []string{"kubelet-", "containerd-"} {
		if r, err := proc.Read(s.path("run", name+n.suffix()+".json")); err == nil {
			ids = append(ids, r.ID)
		}
	}
	if err := proc.End(ctx, ids, 0); err != nil {
		return err
	}
	// Shims go before containers: a shim that sees its container end would
	// run clean-up commands of its own.
	if err := endAll(ctx, func() ([]int, error) { return shims(s.socket(n)) }); err != nil {
		return err
	}
	if err := endAll(ctx, func() ([]int, error) { return host.CgroupProcs(s.cgroup(n)) }); err != nil {
		return err
	}
	return os.RemoveAll(s.socket(n))
}

// endAll kills what list finds, until it finds nothing: a process may have
// started another one meanwhile.
func endAll(ctx context.Context, list func() ([]int, error)) error {
	for {
		pids, err := list()
		if err != nil {
			return err
		}
		var ids []proc.ID
		for _, pid := range pids {
			if id, err := proc.Identify(pid); err == nil {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		// Between listing and identifying, an id may have passed to a stranger:
		// only what is listed still is killed.
		again, err := list()
		if err != nil {
			return err
		}
		listed := map[int]bool{}
		for _, pid := range again {
			listed[pid] = true
		}
		for _, id := range ids {
			if listed[id.PID] {
				_ = id.Signal(syscall.SIGKILL)
			}
		}
		if err := proc.WaitGone(ctx, ids); err != nil {
			return fmt.Errorf("killed processes stay: %w", err)
		}
	}
}

// shims finds the shims of one containerd: they name its socket.
func shims(socket string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && isShimOf(strings.Split(string(data), "\x00"), socket) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// isShimOf recognises a shim's command line.
func isShimOf(argv []string, socket string) bool {
	if len(argv) == 0 || !strings.HasPrefix(filepath.Base(argv[0]), "containerd-shim") {
		return false
	}
	for i := 1; i+1 < len(argv); i++ {
		if argv[i] == "-address" && argv[i+1] == socket {
			return true
		}
	}
	return false
}
