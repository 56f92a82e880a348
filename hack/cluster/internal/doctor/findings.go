// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package doctor tells whether this machine can run a cluster, and what to do
// about it if not. Looking at the machine (facts.go) and judging it (this
// file) are apart, so that judging is tested without the machine.
package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	// Check names what was looked at.
	Check string `json:"check"`
	// Blocking findings must be remedied first; others are worth knowing.
	Blocking bool   `json:"blocking"`
	Problem  string `json:"problem"`
	Remedy   string `json:"remedy"`
	// Package is the Debian package that remedies it, if one does.
	Package string `json:"package,omitempty"`
}

// Purpose says what the machine shall do.
type Purpose string

// The purposes.
const (
	ForCluster Purpose = "cluster" // build and run
	ForBuild   Purpose = "build"   // build programs only, as for envtest
)

// Facts are what the machine shows.
type Facts struct {
	OS, Arch      string
	Kernel        [2]int
	Root, Sudo    bool
	MissingCaps   []string
	GoVersion     string // "go1.26.8", empty without Go
	Programs      map[string]bool
	Headers       bool // the C library's
	Seccomp       bool // libseccomp's header for the compiler
	Busybox       bool // a static one
	CgroupV2      bool
	Controllers   []string
	CgroupsWrite  bool
	BridgeFilter  bool // bridged packets pass the packet filter
	Overlay       bool // the kernel has overlayfs
	StateFS       string
	StateFree     uint64
	CacheFree     uint64
	Built         bool // all programs are built already
	MemoryFree    uint64
	Loopback      error // listening on 127.0.0.1
	Instances     int   // fs.inotify.max_user_instances
	Routes        []host.Route
	OwnLinks      []string
	Pods          netip.Prefix
	Services      netip.Prefix
	ProxyTables   bool
	KubeletSocket bool
	Clusters      []ClusterFact
}

// ClusterFact is a state folder of this tool.
type ClusterFact struct {
	Name    string
	Running bool
}

const (
	gib = 1 << 30
	// A cold build downloads and compiles; a warm one only runs.
	diskCold, diskRun = 10 * gib, 2 * gib
	memoryRun         = 2 * gib
)

// Judge returns all findings at once, blocking ones first.
func Judge(f Facts, purpose Purpose) []Finding {
	var found []Finding
	add := func(blocking bool, check, pkg, remedy, problem string, args ...any) {
		found = append(found, Finding{Check: check, Blocking: blocking, Package: pkg, Remedy: remedy, Problem: fmt.Sprintf(problem, args...)})
	}
	if f.OS != "linux" {
		add(true, "system", "", "use a Linux machine, or any cluster by its KUBECONFIG", "nodes are Linux programs, and this is %s", f.OS)
		return found
	}
	judgeBuild(f, add)
	if purpose == ForCluster {
		judgeRights(f, add)
		judgeKernel(f, add)
		judgeNeighbours(f, add)
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		switch {
		case a.Blocking == b.Blocking:
			return 0
		case a.Blocking:
			return -1
		}
		return 1
	})
	return found
}

type adder func(blocking bool, check, pkg, remedy, problem string, args ...any)

func judgeBuild(f Facts, add adder) {
	if f.GoVersion == "" {
		add(true, "go", "", "install Go 1.26 or newer and put it on the PATH", "no Go toolchain")
	}
	for _, p := range []struct{ program, pkg, why string }{
		{"gcc", "gcc", "runc is built with a C compiler"},
		{"pkg-config", "pkg-config", "the build of runc asks it for libseccomp"},
	} {
		if !f.Programs[p.program] {
			add(true, "packages", p.pkg, "", "%s is missing: %s", p.program, p.why)
		}
	}
	if !f.Headers {
		add(true, "packages", "libc6-dev", "", "the C library's headers are missing: runc is built with a C compiler")
	}
	if !f.Seccomp {
		add(true, "packages", "libseccomp-dev", "", "libseccomp's headers are missing: without them runc refuses restricted pods")
	}
	if !f.Built && f.CacheFree < diskCold {
		add(true, "disk", "", "free space, or set SALVOR_CACHE, GOCACHE and GOMODCACHE to a larger disk",
			"%s free for the first build, which wants %s", size(f.CacheFree), size(diskCold))
	}
}

func judgeRights(f Facts, add adder) {
	switch {
	case f.Root:
	case f.Sudo:
		add(true, "root", "", `run it with sudo -E env PATH="$PATH"`, "a node wants root for mounts, name spaces and links")
	default:
		add(true, "root", "", "become root; there is no sudo here", "a node wants root for mounts, name spaces and links")
	}
	if f.Root && len(f.MissingCaps) > 0 {
		add(true, "capabilities", "", "run it outside of a container, or in a privileged one", "root lacks %s", strings.Join(f.MissingCaps, ", "))
	}
	for _, p := range []struct{ program, pkg, why string }{
		{"nft", "nftables", "kube-proxy programs services with it"},
		{"ip", "iproute2", "bridges are made with it"},
		{"mount", "mount", "kubelet mounts volumes with it"},
	} {
		if !f.Programs[p.program] {
			add(true, "packages", p.pkg, "", "%s is missing: %s", p.program, p.why)
		}
	}
	if !f.Busybox {
		add(true, "packages", "busybox-static", "", "no static busybox: the volume provisioner wants an image with a shell")
	}
}

// wantControllers are the controllers without which kubelet does not start.
var wantControllers = map[bool][]string{
	false: {"cpu", "cpuacct", "cpuset", "memory"},
	true:  {"cpu", "cpuset", "memory", "pids"},
}

func judgeKernel(f Facts, add adder) {
	if f.Kernel[0] < 5 || f.Kernel[0] == 5 && f.Kernel[1] < 13 {
		add(true, "kernel", "", "use Linux 5.13 or newer", "kube-proxy's nftables mode wants Linux 5.13, and this is %d.%d", f.Kernel[0], f.Kernel[1])
	}
	var missing []string
	for _, c := range wantControllers[f.CgroupV2] {
		if !slices.Contains(f.Controllers, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		add(true, "cgroups", "", "mount them below /sys/fs/cgroup, or enable them in the kernel's command line", "missing controllers: %s", strings.Join(missing, ", "))
	}
	if f.Root && !f.CgroupsWrite {
		add(true, "cgroups", "", "mount /sys/fs/cgroup for writing; in a container, run it privileged", "/sys/fs/cgroup cannot be written")
	}
	if !f.BridgeFilter {
		add(true, "kernel", "", "modprobe br_netfilter", "bridged packets do not pass the packet filter: pods could not reach services on their own node")
	}
	if !f.Overlay {
		add(true, "kernel", "", "modprobe overlay", "the kernel has no overlayfs")
	}
	if f.Instances > 0 && f.Instances < 128 {
		add(false, "kernel", "", "sysctl fs.inotify.max_user_instances=512", "only %d inotify instances: kubelets and pods may run out", f.Instances)
	}
}

func judgeNeighbours(f Facts, add adder) {
	switch {
	case f.StateFS == "tmpfs" || f.StateFS == "ramfs":
		add(true, "disk", "", "set SALVOR_STATE to a folder on a disk", "the state folder is in memory: volumes there lack extended attributes")
	case f.StateFS == "overlay":
		add(false, "disk", "", "set SALVOR_STATE to a folder on a disk", "the state folder is on overlayfs: images are copied instead of mounted")
	}
	if f.StateFree < diskRun {
		add(true, "disk", "", "free space, or set SALVOR_STATE to a larger disk", "%s free for a running cluster, which wants %s", size(f.StateFree), size(diskRun))
	}
	if f.MemoryFree < memoryRun {
		add(true, "memory", "", "end other programs", "%s of memory free, and a cluster with its pods wants %s", size(f.MemoryFree), size(memoryRun))
	}
	if f.Loopback != nil {
		add(true, "ports", "", "bring the loopback link up: ip link set lo up", "no port on 127.0.0.1: %v", f.Loopback)
	}
	if f.Pods.Overlaps(f.Services) {
		add(true, "routes", "", "choose others with --pod-cidr and --service-cidr", "the pod network %s and the service network %s overlap", f.Pods, f.Services)
	}
	own := func(dev string) bool { return slices.Contains(f.OwnLinks, dev) }
	for _, n := range []struct {
		flag    string
		network netip.Prefix
	}{{"--pod-cidr", f.Pods}, {"--service-cidr", f.Services}} {
		for _, r := range host.Overlapping(n.network, f.Routes, own) {
			add(true, "routes", "", "choose another network with "+n.flag, "%s overlaps the route to %s by %s", n.network, r.Dst, r.Dev)
		}
	}
	running := false
	for _, c := range f.Clusters {
		running = running || c.Running
		if !c.Running {
			add(false, "leftovers", "", fmt.Sprintf("down --name %s removes it, up --name %s goes on with it", c.Name, c.Name),
				"cluster %s was not ended properly", c.Name)
		}
	}
	// A second kube-proxy would fight over one table, a second kubelet over one socket.
	if f.ProxyTables && len(f.Clusters) == 0 {
		add(true, "neighbours", "", "end that cluster first; after a crash: nft delete table ip kube-proxy; nft delete table ip6 kube-proxy",
			"a kube-proxy of another cluster has its tables here")
	}
	if f.KubeletSocket && !running {
		add(true, "neighbours", "", "end it, or use that cluster by its KUBECONFIG", "another kubelet runs on this machine")
	}
}
