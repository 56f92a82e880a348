// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"net/netip"

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

// otherNetworks are those of all nodes but the first, which is kube-proxy's.
func (s *State) otherNetworks() []netip.Prefix {
	var networks []netip.Prefix
	for _, n := range s.Nodes[1:] {
		networks = append(networks, n.Network)
	}
	return networks
}
