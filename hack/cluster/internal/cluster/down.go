// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
	"github.com/salvor-io/salvor/hack/cluster/internal/proc"
	"github.com/salvor-io/salvor/hack/cluster/internal/progress"
)

// Down ends the cluster and gives the machine back as it was before "up". It
// works from what is written in the state folder, whatever state the cluster
// is in; without a cluster there is nothing to do. With keep, the data of
// etcd, containerd and the volumes stays for the next "up".
//
// Every step is tried even if one before it failed: what can be undone is.
func Down(ctx context.Context, log *progress.Log, name string, keep bool) error {
	lock, err := Lock(ctx, name, func() { log.Printf("waiting for another command on cluster %s to end", name) })
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := Load(name)
	if errors.Is(err, ErrNoCluster) {
		log.Printf("no cluster %s", name)
		return removeState(name, lock)
	}
	if err != nil {
		log.Printf("%v", err)
		if s, err = salvage(name); err != nil {
			return err
		}
		log.Printf("kernel settings cannot be restored; all else is found by its name")
	}
	var errs []error
	try := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	for _, n := range s.Nodes {
		try("stop node "+n.Name, s.stopNode(ctx, n))
	}
	try("stop control plane", s.stopRecorded(ctx, keep))
	log.Printf("processes ended")
	for _, n := range s.Nodes {
		try("remove bridge", host.DeleteBridge(ctx, n.Bridge))
	}
	try("unmount", host.UnmountAll(s.dir))
	try("remove packet filter tables", host.DeleteTables(ctx, slices.Concat(proxyTables, []string{"ip " + s.table()})))
	if s.Forwarding {
		try("remove forward rules", host.ForwardRules(ctx, s.PodCIDR, false))
	}
	try("remove control groups", host.RemoveCgroup(s.group(), 10*time.Second))
	try("restore kernel settings", host.WriteSysctls(s.Sysctls))
	try("remove foreign files", s.removeForeign())
	if err := errors.Join(errs...); err != nil {
		// The state stays, so that the next down can go on.
		return fmt.Errorf("cluster %s is not wholly gone; run down again, or see the causes:\n%w", name, err)
	}
	log.Printf("links, mounts, tables, control groups and kernel settings are as before")
	if keep {
		return nil
	}
	return removeState(name, lock)
}

// salvage makes up for a lost or damaged description: everything but the kernel
// settings has names that follow from the cluster's.
func salvage(name string) (*State, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("no cluster has the name %q", name)
	}
	s := &State{Name: name, dir: Dir(name)}
	nodes, err := os.ReadDir(s.path("nodes"))
	if err != nil {
		return nil, err
	}
	for _, e := range nodes {
		if index, err := strconv.Atoi(e.Name()); err == nil {
			s.Nodes = append(s.Nodes, Node{Index: index, Name: name + "-" + e.Name(), Bridge: bridgeName(name, index)})
		}
	}
	return s, nil
}

// proxyTables are what kube-proxy makes in nftables mode.
var proxyTables = []string{"ip kube-proxy", "ip6 kube-proxy"}

// stopRecorded ends every recorded process that still lives. Data that stays
// deserves a proper end; data that goes does not.
func (s *State) stopRecorded(ctx context.Context, graceful bool) error {
	records, err := proc.ReadAll(s.path("run"))
	if err != nil {
		return err
	}
	var ids []proc.ID
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	grace := time.Duration(0)
	if graceful {
		grace = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, grace+20*time.Second)
	defer cancel()
	if err := proc.End(ctx, ids, grace); err != nil {
		return err
	}
	for path := range records {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// removeForeign removes what kubelet and the network plugins left outside the
// state folder, and the folders that were not there before, if nobody else
// uses them by now.
func (s *State) removeForeign() error {
	logs, _ := filepath.Glob("/var/log/containers/*.log")
	for _, link := range logs {
		if target, err := os.Readlink(link); err == nil && isBelow(target, s.dir) {
			if err := os.Remove(link); err != nil {
				return err
			}
		}
	}
	for _, n := range s.Nodes {
		results, _ := filepath.Glob(filepath.Join("/var/lib/cni/results", s.networkName(n)+"-*"))
		for _, file := range results {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	for i := len(s.Absent) - 1; i >= 0; i-- {
		if s.Absent[i] == devicePlugins {
			_ = os.Remove(filepath.Join(devicePlugins, "kubelet.sock"))
		}
		_ = os.Remove(s.Absent[i]) // fails if it is not empty, as it should
	}
	return nil
}

// devicePlugins is where every kubelet listens, whatever its root folder is.
const devicePlugins = "/var/lib/kubelet/device-plugins"

// removeState removes the state folder and the lock, and the folder of all
// states if that was the last. Mounts below it must be gone: removing through
// a mount would delete what is mounted.
func removeState(name string, lock *os.File) error {
	dir := Dir(name)
	points, err := host.Mounts(dir)
	if err != nil {
		return err
	}
	if len(points) > 0 {
		return fmt.Errorf("%s is still mounted: nothing below %s was removed", points[0], dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Remove(lock.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_ = os.Remove(paths.State())
	return nil
}

func isBelow(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
