// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"path/filepath"
	"sort"

	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
	"github.com/salvor-io/salvor/hack/cluster/internal/proc"
)

// Status is what "status" tells.
type Status struct {
	Name       string          `json:"name"`
	Healthy    bool            `json:"healthy"`
	Server     string          `json:"server"`
	API        string          `json:"api"`
	Kubeconfig string          `json:"kubeconfig"`
	Dir        string          `json:"dir"`
	AuditLog   string          `json:"auditLog,omitempty"`
	Processes  []ProcessStatus `json:"processes"`
	Nodes      []NodeStatus    `json:"nodes"`
}

// ProcessStatus is one started program. State is running, dead or absent.
type ProcessStatus struct {
	Name  string `json:"name"`
	PID   int    `json:"pid,omitempty"`
	State string `json:"state"`
	Log   string `json:"log"`
}

// NodeStatus is one node. State is ready, or a sentence saying why it is not.
type NodeStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	State   string `json:"state"`
}

// processNames lists what runs in a whole cluster.
func (s *State) processNames() []string {
	names := []string{"etcd", "apiserver", "relay", "controller-manager", "scheduler", "proxy"}
	for _, n := range s.Nodes {
		names = append(names, "containerd-"+n.suffix(), "kubelet-"+n.suffix())
	}
	return names
}

// Status looks at everything once.
func (s *State) Status(ctx context.Context) Status {
	st := Status{
		Name: s.Name, Healthy: true, Server: s.url("apiserver"), API: "ready",
		Kubeconfig: s.Kubeconfig(), Dir: s.dir,
	}
	if s.Options.AuditLog {
		st.AuditLog = s.AuditLog()
	}
	for _, name := range s.processNames() {
		p := ProcessStatus{Name: name, State: "absent", Log: s.path("logs", name+".log")}
		if r, err := proc.Read(s.path("run", name+".json")); err == nil {
			p.PID, p.State = r.PID, "dead"
			if r.Alive() {
				p.State = "running"
			}
		}
		st.Healthy = st.Healthy && p.State == "running"
		st.Processes = append(st.Processes, p)
	}
	sort.SliceStable(st.Processes, func(i, j int) bool { return st.Processes[i].State < st.Processes[j].State })
	a, err := s.api()
	if err == nil {
		err = a.get(ctx, "/readyz", nil)
	}
	if err != nil {
		st.API, st.Healthy = err.Error(), false
	}
	for _, n := range s.Nodes {
		ns := NodeStatus{Name: n.Name, Address: n.Address(), State: "ready"}
		if a == nil {
			ns.State = "unknown"
		} else if err := a.nodeReady(ctx, n.Name); err != nil {
			ns.State = err.Error()
		}
		st.Healthy = st.Healthy && ns.State == "ready"
		st.Nodes = append(st.Nodes, ns)
	}
	return st
}

// All lists the clusters that have state on this machine; what cannot be read
// is left out.
func All() []*State {
	files, _ := filepath.Glob(filepath.Join(paths.State(), "*", "cluster.json"))
	var all []*State
	for _, file := range files {
		if s, err := Load(filepath.Base(filepath.Dir(file))); err == nil {
			all = append(all, s)
		}
	}
	return all
}

// Running tells whether the API server's process lives.
func (s *State) Running() bool { return s.running("apiserver") }
