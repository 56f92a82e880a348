// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"net/netip"
	"runtime"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
)

// prepareHost changes what pods need of the machine.
func (r *starter) prepareHost(ctx context.Context) error {
	want := map[string]string{}
	for key := range r.Sysctls { // only what existed and is remembered
		want[key] = host.Sysctls[key]
	}
	if err := host.WriteSysctls(want); err != nil {
		return err
	}
	for _, n := range r.Nodes {
		if err := host.EnsureBridge(ctx, n.Bridge, n.Network); err != nil {
			return err
		}
		if err := host.EnsureCgroup(r.cgroup(n)); err != nil {
			return err
		}
	}
	if err := r.share(); err != nil {
		return err
	}
	if err := host.HairpinTable(ctx, r.table(), r.otherNetworks()); err != nil {
		return err
	}
	if !r.Forwarding && host.ForwardDrops(ctx) {
		r.Forwarding = true
		if err := r.save(); err != nil {
			return err
		}
	}
	if r.Forwarding {
		return host.ForwardRules(ctx, r.PodCIDR, true)
	}
	return nil
}

// divide keeps each node's pods on its own cores, and the cluster's programs on those of
// the first node: what one does takes nothing from the pods of another.
func (r *starter) divide() error {
	for i, n := range r.Nodes {
		if n.Cores == "" {
			continue
		}
		groups := []string{r.cgroup(n)}
		if i == 0 {
			groups = append(groups, r.systemGroup())
		}
		for _, g := range groups {
			if err := host.SetCores(g, n.Cores); err != nil {
				return err
			}
		}
	}
	return nil
}

// share gives the cluster's own programs what system.slice has on a machine with systemd,
// and the pods of each node what kubelet gives all pods there: otherwise three programs of
// the control plane that are busy leave a quarter of a core to all pods together.
func (r *starter) share() error {
	if err := host.EnsureCgroup(r.systemGroup()); err != nil {
		return err
	}
	const one = 1024 // a core, or all of system.slice
	cores := one * runtime.NumCPU()
	err := errors.Join(host.SetCPUShares(r.group(), one+cores), host.SetCPUShares(r.systemGroup(), one))
	for _, n := range r.Nodes {
		err = errors.Join(err, host.SetCPUShares(r.cgroup(n), cores))
	}
	return errors.Join(err, r.divide())
}

// otherNetworks are those of all nodes but the first, which is kube-proxy's.
func (s *State) otherNetworks() []netip.Prefix {
	var networks []netip.Prefix
	for _, n := range s.Nodes[1:] {
		networks = append(networks, n.Network)
	}
	return networks
}
