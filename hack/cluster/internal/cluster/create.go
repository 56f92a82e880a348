// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
)

// Config is what "up" was asked for.
type Config struct {
	Name        string
	Nodes       int
	PodCIDR     netip.Prefix
	ServiceCIDR netip.Prefix
	Options     Options
	// Asked tells whether a flag of "up" was given; what was not is taken from
	// a cluster that is there already.
	Asked func(flag string) bool
}

// maxSocketDir is containerd's limit for the folder of its shims' sockets.
const maxSocketDir = 40

// loopbackPorts are chosen once and stay, so that a restarted process is found
// again where it was.
var loopbackPorts = []string{"apiserver", "etcd", "etcd-peer", "controller-manager", "scheduler", "proxy-health", "proxy-metrics"}

// newState decides everything about a new cluster and writes it down.
func newState(c Config) (*State, error) {
	if !validName.MatchString(c.Name) {
		return nil, fmt.Errorf("cluster name %q: want a lower-case letter and then at most 19 letters, digits and dashes", c.Name)
	}
	s := &State{
		Name: c.Name, PodCIDR: c.PodCIDR.Masked(), ServiceCIDR: c.ServiceCIDR.Masked(),
		Ports: map[string]int{}, Options: c.Options, dir: Dir(c.Name),
	}
	if dir := s.path("nodes", "0", "s"); len(dir) > maxSocketDir {
		return nil, fmt.Errorf("%s is too long for a socket folder (%d, at most %d): set SALVOR_STATE to a shorter path", dir, len(dir), maxSocketDir)
	}
	for _, dir := range []string{"run", "logs", "pki", "conf", "data/etcd", "data/volumes", "nodes"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(s.path("pki"), 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(s.path("data", "etcd"), 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.Sysctls, err = host.ReadSysctls(); err != nil {
		return nil, err
	}
	for _, dir := range foreignDirs {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			s.Absent = append(s.Absent, dir)
		}
	}
	ports, err := host.FreePorts(len(loopbackPorts))
	if err != nil {
		return nil, err
	}
	for i, name := range loopbackPorts {
		s.Ports[name] = ports[i]
	}
	for range c.Nodes {
		if err := s.addNode(); err != nil {
			return nil, err
		}
	}
	if c.Options.OwnCores {
		if err := s.divideCores(runtime.NumCPU()); err != nil {
			return nil, err
		}
	}
	return s, s.save()
}

// divideCores gives each node as many cores of the machine as any other, or one more.
func (s *State) divideCores(cores int) error {
	n := len(s.Nodes)
	if n > cores {
		return fmt.Errorf("%d nodes cannot have cores of their own: the machine has %d", n, cores)
	}
	for i := range s.Nodes {
		s.Nodes[i].Cores = fmt.Sprintf("%d-%d", i*cores/n, (i+1)*cores/n-1)
	}
	return nil
}

// addNode decides about one more node; the caller saves.
func (s *State) addNode() error {
	index := len(s.Nodes)
	if index > 0 && s.Nodes[0].Cores != "" {
		return fmt.Errorf("the machine's cores are divided among the %d nodes of cluster %s: run down first, and up with more --nodes", index, s.Name)
	}
	network, err := host.NodeNetwork(s.PodCIDR, index)
	if err != nil {
		return err
	}
	ports, err := host.FreePorts(2, s.takenPorts()...)
	if err != nil {
		return err
	}
	n := Node{
		Index: index, Name: s.Name + "-" + strconv.Itoa(index), Network: network,
		Bridge:      bridgeName(s.Name, index),
		KubeletPort: ports[0], HealthPort: ports[1],
	}
	for _, dir := range []string{"root", "c", "s", "kubelet", "pki", "cni", "ipam", "podlogs"} {
		if err := os.MkdirAll(s.nodePath(n, dir), 0o755); err != nil {
			return err
		}
	}
	s.Nodes = append(s.Nodes, n)
	return nil
}

// takenPorts are those that the cluster has given out, whether they are in use
// just now or not.
func (s *State) takenPorts() []int {
	taken := slices.Collect(maps.Values(s.Ports))
	for _, n := range s.Nodes {
		taken = append(taken, n.KubeletPort, n.HealthPort)
	}
	return taken
}

// bridgeName keeps to the kernel's 15 characters.
func bridgeName(name string, index int) string {
	if len(name) > 9 {
		name = name[:9]
	}
	return "sv-" + name + strconv.Itoa(index)
}

// binPath puts the folders of programs together as a PATH.
func binPath(bins map[string]string, names ...string) string {
	path := ""
	for _, name := range names {
		path += filepath.Dir(bins[name]) + ":"
	}
	return path + "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}
