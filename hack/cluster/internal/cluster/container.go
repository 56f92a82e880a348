// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/proc"
)

// Container is one living container of a pod.
type Container struct {
	Node      string `json:"node"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	UID       string `json:"uid"`
	Name      string `json:"container"`
	ID        string `json:"id"`
	// PID is the container's first process as the machine counts it.
	PID int `json:"pid"`

	process proc.ID
	cgroup  string
}

// Containers lists the living containers, newest first. It reads what
// containerd keeps beside its running tasks and asks no server: that takes
// milliseconds, and works while the API server or a kubelet is stopped.
func (s *State) Containers() ([]Container, error) {
	var found []Container
	for _, n := range s.Nodes {
		bundles, err := filepath.Glob(s.nodePath(n, "c", "io.containerd.runtime.v2.task", "k8s.io", "*"))
		if err != nil {
			return nil, err
		}
		for _, bundle := range bundles {
			// A bundle that is being made or removed lacks a file: it has no
			// living container.
			if c, err := readBundle(bundle); err == nil {
				c.Node = n.Name
				found = append(found, c)
			}
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].process.Start > found[j].process.Start })
	return found, nil
}

// bundleConfig is what is needed of an OCI configuration.
type bundleConfig struct {
	Annotations map[string]string `json:"annotations"`
	Linux       struct {
		CgroupsPath string `json:"cgroupsPath"`
	} `json:"linux"`
}

func readBundle(dir string) (Container, error) {
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return Container{}, err
	}
	c, err := parseBundle(data)
	if err != nil {
		return c, err
	}
	c.ID = filepath.Base(dir)
	text, err := os.ReadFile(filepath.Join(dir, "init.pid"))
	if err != nil {
		return c, err
	}
	if c.PID, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return c, err
	}
	if c.process, err = proc.Identify(c.PID); err != nil {
		return c, err
	}
	// The number may belong to a stranger by now; the control group tells.
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.PID))
	if err != nil {
		return c, err
	}
	if !strings.Contains(string(groups), "/"+c.ID) {
		return c, os.ErrProcessDone
	}
	return c, nil
}

func parseBundle(data []byte) (Container, error) {
	var config bundleConfig
	if err := json.Unmarshal(data, &config); err != nil {
		return Container{}, err
	}
	a := func(key string) string { return config.Annotations["io.kubernetes.cri."+key] }
	if a("container-type") != "container" {
		return Container{}, fmt.Errorf("%q is no container", a("container-type"))
	}
	return Container{
		Namespace: a("sandbox-namespace"), Pod: a("sandbox-name"), UID: a("sandbox-uid"), Name: a("container-name"),
		cgroup: config.Linux.CgroupsPath,
	}, nil
}

// FindContainer finds the living container of a pod, the newest if two pods
// have borne the name. The container's name may be left out if there is one.
func (s *State) FindContainer(namespace, pod, name string) (Container, error) {
	all, err := s.Containers()
	if err != nil {
		return Container{}, err
	}
	return choose(all, namespace, pod, name)
}

func choose(all []Container, namespace, pod, name string) (Container, error) {
	var hits []Container
	for _, c := range all {
		if c.Namespace != namespace || c.Pod != pod || name != "" && c.Name != name {
			continue
		}
		if len(hits) == 0 || hits[0].UID == c.UID && name == "" {
			hits = append(hits, c)
		}
	}
	switch len(hits) {
	case 0:
		if name != "" {
			pod += " container " + name
		}
		return Container{}, fmt.Errorf("nothing lives of pod %s/%s on this machine", namespace, pod)
	case 1:
		return hits[0], nil
	}
	var names []string
	for _, c := range hits {
		names = append(names, c.Name)
	}
	sort.Strings(names)
	return Container{}, fmt.Errorf("pod %s/%s has containers %s: choose one with --container", namespace, pod, strings.Join(names, ", "))
}

// Signal signals the container's first process, or all its processes. The
// kernel drops what a first process does to itself; from outside, SIGKILL and
// SIGSTOP do reach it.
func (c Container) Signal(sig syscall.Signal, all bool) error {
	if !all {
		if err := c.process.Signal(sig); err != nil {
			return fmt.Errorf("container %s, process %d: %w", c.Name, c.PID, err)
		}
		return nil
	}
	pids, err := host.CgroupProcs(c.cgroup)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if id, err := proc.Identify(pid); err == nil {
			_ = id.Signal(sig) // one that ended meanwhile needs no signal
		}
	}
	return nil
}
