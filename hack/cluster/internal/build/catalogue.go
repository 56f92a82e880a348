// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package build turns the pinned modules under hack/ into programs, once per
// content: a program's folder is named by a hash of everything that decides
// its bytes, so a second checkout finds it ready and a changed pin never runs
// an old program.
package build

import (
	"sort"
	"time"
)

// Module is one pinned Go module and how its programs are built.
type Module struct {
	// Dir is relative to hack/cluster.
	Dir  string
	Tags string
	// LDFlags come after "-s -w".
	LDFlags string
	CGO     bool
	// Cold is what building all its programs took on two cores with empty
	// caches; it serves estimates only.
	Cold time.Duration
	// Programs maps names to package paths.
	Programs map[string]string
}

// Modules is everything this tool can build. The order is the build order:
// kubernetes first, because the modules of etcd, coredns and
// local-path-provisioner require exactly its dependency versions and find them
// compiled. They must require and not replace them: the name of a compiled
// package holds the required version.
var Modules = []Module{
	{
		Dir: "build/kubernetes",
		// Without these, clients see version v0.0.0.
		LDFlags: "-X k8s.io/component-base/version.gitVersion=v1.36.3" +
			" -X k8s.io/component-base/version.gitMajor=1" +
			" -X k8s.io/component-base/version.gitMinor=36",
		Cold: 16 * time.Minute,
		Programs: map[string]string{
			"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
			"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
			"kube-proxy":              "k8s.io/kubernetes/cmd/kube-proxy",
			"kube-scheduler":          "k8s.io/kubernetes/cmd/kube-scheduler",
			"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
			"kubelet":                 "k8s.io/kubernetes/cmd/kubelet",
		},
	},
	{
		Dir:  "build/etcd",
		Cold: 30 * time.Second,
		Programs: map[string]string{
			"etcd":    "go.etcd.io/etcd/server/v3",
			"etcdctl": "go.etcd.io/etcd/etcdctl/v3",
		},
	},
	{
		Dir:      "build/coredns",
		Cold:     10 * time.Second,
		Programs: map[string]string{"coredns": "."},
	},
	{
		Dir:      "build/local-path-provisioner",
		Cold:     4 * time.Second,
		Programs: map[string]string{"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
	},
	{
		Dir:  "build/containerd",
		Cold: 3 * time.Minute,
		Programs: map[string]string{
			"containerd":              "github.com/containerd/containerd/v2/cmd/containerd",
			"containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
			"ctr":                     "github.com/containerd/containerd/v2/cmd/ctr",
		},
	},
	{
		Dir: "build/runc",
		// A runc without libseccomp cannot start a pod whose profile is
		// RuntimeDefault, which restricted Pod Security demands of all.
		Tags: "seccomp", CGO: true,
		Cold:     13 * time.Second,
		Programs: map[string]string{"runc": "github.com/opencontainers/runc"},
	},
	{
		Dir:  "build/cni",
		Cold: 8 * time.Second,
		Programs: map[string]string{
			"bridge":     "github.com/containernetworking/plugins/plugins/main/bridge",
			"host-local": "github.com/containernetworking/plugins/plugins/ipam/host-local",
		},
	},
	{
		Dir:      "build/pause",
		Cold:     time.Second,
		Programs: map[string]string{"pause": "."},
	},
	{
		Dir:      "../tools/versitygw",
		Cold:     120 * time.Second,
		Programs: map[string]string{"versitygw": "github.com/versity/versitygw/cmd/versitygw"},
	},
	{
		Dir:      "../tools/fake-gcs-server",
		Cold:     140 * time.Second,
		Programs: map[string]string{"fake-gcs-server": "github.com/fsouza/fake-gcs-server"},
	},
	{
		Dir:      "../tools/controller-gen",
		Cold:     30 * time.Second,
		Programs: map[string]string{"controller-gen": "sigs.k8s.io/controller-tools/cmd/controller-gen"},
	},
	{
		Dir:      "../tools/golangci-lint",
		Cold:     300 * time.Second,
		Programs: map[string]string{"golangci-lint": "github.com/golangci/golangci-lint/v2/cmd/golangci-lint"},
	},
}

// Node lists what a running cluster needs.
var Node = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
	"containerd", "containerd-shim-runc-v2", "ctr", "runc",
	"bridge", "host-local", "coredns", "local-path-provisioner", "pause",
}

// Envtest lists what controller-runtime's envtest needs.
var Envtest = []string{"kube-apiserver", "etcd", "kubectl"}

// Names lists every program, sorted.
func Names() []string {
	var names []string
	for _, m := range Modules {
		for name := range m.Programs {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// find returns the module that holds a program.
func find(name string) (Module, bool) {
	for _, m := range Modules {
		if _, ok := m.Programs[name]; ok {
			return m, true
		}
	}
	return Module{}, false
}
