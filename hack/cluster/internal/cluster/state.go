// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster starts, looks at and removes one local Kubernetes cluster.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
)

// State is what later commands must know about a cluster. It is written before
// the machine is changed, so that "down" can undo a start that died anywhere.
type State struct {
	Name        string         `json:"name"`
	PodCIDR     netip.Prefix   `json:"podCIDR"`
	ServiceCIDR netip.Prefix   `json:"serviceCIDR"`
	Ports       map[string]int `json:"ports"`
	Nodes       []Node         `json:"nodes"`
	Options     Options        `json:"options"`

	// Sysctls are the kernel settings as they were before.
	Sysctls map[string]string `json:"sysctls"`
	// Absent are folders outside the state folder that kubelet and others make
	// and that were not there before.
	Absent []string `json:"absent"`
	// Forwarding says that accept rules were put into a FORWARD chain that drops.
	Forwarding bool `json:"forwarding,omitempty"`

	dir string
}

// Options are the choices of "up" that stay with a cluster.
type Options struct {
	FastRestarts bool          `json:"fastRestarts"`
	AuditLog     bool          `json:"auditLog"`
	NodeGrace    time.Duration `json:"nodeGrace,omitempty"`
	// OwnCores: no two nodes share a core of the machine.
	OwnCores bool `json:"ownCores,omitempty"`
}

// Node is one containerd and one kubelet with files, addresses and control
// groups of their own.
type Node struct {
	Index       int          `json:"index"`
	Name        string       `json:"name"`
	Network     netip.Prefix `json:"network"`
	Bridge      string       `json:"bridge"`
	KubeletPort int          `json:"kubeletPort"`
	HealthPort  int          `json:"healthPort"`
	// Cores of the machine that its pods run on, as in cpuset.cpus; empty: all.
	Cores string `json:"cores,omitempty"`
}

// Address is the node's own address, which is also its pods' gateway.
func (n Node) Address() string { return host.Gateway(n.Network).String() }

// foreignDirs are the folders that kubelet and the network plugins insist on.
// Parents stand before children.
var foreignDirs = []string{
	"/var/log/containers", "/var/log/pods",
	"/var/lib/cni", "/var/lib/cni/results", "/var/lib/kubelet", devicePlugins,
	"/var/lib/kubelet/pod-resources", "/run/containerd", "/run/containerd/s", "/run/netns",
}

var validName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)

// Dir is the folder of the named cluster's state.
func Dir(name string) string { return filepath.Join(paths.State(), name) }

// path joins below the state folder.
func (s *State) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// nodePath joins below a node's folder.
func (s *State) nodePath(n Node, elem ...string) string {
	return s.path(append([]string{"nodes", strconv.Itoa(n.Index)}, elem...)...)
}

// Kubeconfig is the administrator's access.
func (s *State) Kubeconfig() string { return s.path("kubeconfig") }

// group is the control group of the cluster, below which all of its others are.
func (s *State) group() string { return "/salvor-" + s.Name }

// cgroup is the control group below which a node's pods live.
func (s *State) cgroup(n Node) string { return s.group() + "/" + strconv.Itoa(n.Index) }

// systemGroup is that of the cluster's own programs.
func (s *State) systemGroup() string { return s.group() + "/system" }

// table is the packet filter table that is ours and not kube-proxy's.
func (s *State) table() string { return "salvor-" + s.Name }

// socket is a node's containerd.
func (s *State) socket(n Node) string { return s.nodePath(n, "containerd.sock") }

// ErrNoCluster says that there is no such cluster.
var ErrNoCluster = errors.New("no such cluster")

// Load reads the state of the named cluster.
func Load(name string) (*State, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("cluster name %q: want a lower-case letter and then at most 19 letters, digits and dashes", name)
	}
	s := &State{dir: Dir(name)}
	data, err := os.ReadFile(s.path("cluster.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s (start it with: up --name %s)", ErrNoCluster, name, name)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w (run down, then up)", s.path("cluster.json"), err)
	}
	return s, nil
}

// save writes the state durably: what it remembers cannot be found out again.
func (s *State) save() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := s.path("cluster.json.tmp")
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(append(data, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(tmp, s.path("cluster.json"))
}

// writeConfig writes a file unless it says the same already: kube-proxy ends
// itself when its file is written, even with equal contents.
func writeConfig(path, text string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// NodeByName finds a node.
func (s *State) NodeByName(name string) (Node, error) {
	for _, n := range s.Nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("cluster %s has no node %q", s.Name, name)
}

// Lock gives one command at a time the right to change a cluster. The returned
// file is inherited by starting processes, see proc.Spec.
func Lock(ctx context.Context, name string, waiting func()) (*os.File, error) {
	if err := os.MkdirAll(paths.State(), 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(paths.State(), name+".lock")
	told := false
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && sameFile(f, path) {
			return f, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if err != nil && !told {
			told = true
			waiting()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another command works on cluster %s: %w", name, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// sameFile tells whether an open file still is what its path names: the holder
// before us may have removed it.
func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}
