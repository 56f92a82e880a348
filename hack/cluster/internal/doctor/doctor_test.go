// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/salvor-io/salvor/hack/cluster/internal/host"
)

// good is a machine without findings.
func good() Facts {
	return Facts{
		OS: "linux", Arch: "amd64", Kernel: [2]int{6, 1}, Root: true, GoVersion: "go1.26.8",
		Programs: map[string]bool{"gcc": true, "pkg-config": true, "nft": true, "ip": true, "mount": true},
		Headers:  true, Seccomp: true, Busybox: true,
		Controllers: []string{"cpu", "cpuacct", "cpuset", "memory", "pids"}, CgroupsWrite: true,
		BridgeFilter: true, Overlay: true, StateFS: "disk", StateFree: 50 * gib, CacheFree: 50 * gib, MemoryFree: 8 * gib,
		Instances: 512,
		Routes:    []host.Route{{Dst: "default", Dev: "eth0"}, {Dst: "192.0.2.0/24", Dev: "eth0"}},
		Pods:      netip.MustParsePrefix("10.244.0.0/16"), Services: netip.MustParsePrefix("10.96.0.0/16"),
	}
}

func TestJudge(t *testing.T) {
	if found := Judge(good(), ForCluster); len(found) != 0 {
		t.Fatalf("a good machine has findings: %+v", found)
	}
	for name, test := range map[string]struct {
		change   func(*Facts)
		check    string
		blocking bool
		says     string // in the problem or the remedy
	}{
		"other system":        {func(f *Facts) { f.OS = "darwin" }, "system", true, "KUBECONFIG"},
		"no go":               {func(f *Facts) { f.GoVersion = "" }, "go", true, "1.26"},
		"no compiler":         {func(f *Facts) { f.Programs["gcc"] = false }, "packages", true, "gcc"},
		"no libc headers":     {func(f *Facts) { f.Headers = false }, "packages", true, "headers"},
		"no seccomp headers":  {func(f *Facts) { f.Seccomp = false }, "packages", true, "libseccomp"},
		"no nft":              {func(f *Facts) { f.Programs["nft"] = false }, "packages", true, "nft"},
		"no shell":            {func(f *Facts) { f.Busybox = false }, "packages", true, "busybox"},
		"no root, sudo":       {func(f *Facts) { f.Root, f.Sudo = false, true }, "root", true, "sudo -E"},
		"no root, no sudo":    {func(f *Facts) { f.Root = false }, "root", true, "become root"},
		"container":           {func(f *Facts) { f.MissingCaps = []string{"CAP_SYS_ADMIN"} }, "capabilities", true, "CAP_SYS_ADMIN"},
		"old kernel":          {func(f *Facts) { f.Kernel = [2]int{5, 12} }, "kernel", true, "5.13"},
		"no cpuset":           {func(f *Facts) { f.Controllers = []string{"cpu", "cpuacct", "memory"} }, "cgroups", true, "cpuset"},
		"version 2, no pids":  {func(f *Facts) { f.CgroupV2, f.Controllers = true, []string{"cpu", "cpuset", "memory"} }, "cgroups", true, "pids"},
		"read-only cgroups":   {func(f *Facts) { f.CgroupsWrite = false }, "cgroups", true, "written"},
		"no br_netfilter":     {func(f *Facts) { f.BridgeFilter = false }, "kernel", true, "modprobe br_netfilter"},
		"no overlay":          {func(f *Facts) { f.Overlay = false }, "kernel", true, "modprobe overlay"},
		"few inotify":         {func(f *Facts) { f.Instances = 8 }, "kernel", false, "inotify"},
		"state in memory":     {func(f *Facts) { f.StateFS = "tmpfs" }, "disk", true, "SALVOR_STATE"},
		"state on overlay":    {func(f *Facts) { f.StateFS = "overlay" }, "disk", false, "SALVOR_STATE"},
		"disk full":           {func(f *Facts) { f.StateFree = gib }, "disk", true, "2.0 GiB"},
		"no room to build":    {func(f *Facts) { f.CacheFree = 5 * gib }, "disk", true, "10.0 GiB"},
		"little memory":       {func(f *Facts) { f.MemoryFree = gib }, "memory", true, "2.0 GiB"},
		"no loopback":         {func(f *Facts) { f.Loopback = errors.New("cannot assign") }, "ports", true, "ip link set lo up"},
		"a route to our pods": {func(f *Facts) { f.Routes = append(f.Routes, host.Route{Dst: "10.244.64.0/18", Dev: "vpn"}) }, "routes", true, "--pod-cidr"},
		"networks overlap":    {func(f *Facts) { f.Services = netip.MustParsePrefix("10.244.9.0/24") }, "routes", true, "overlap"},
		"leftover":            {func(f *Facts) { f.Clusters = []ClusterFact{{Name: "x"}} }, "leftovers", false, "down --name x"},
		"foreign kube-proxy":  {func(f *Facts) { f.ProxyTables = true }, "neighbours", true, "nft delete table"},
		"foreign kubelet":     {func(f *Facts) { f.KubeletSocket = true }, "neighbours", true, "kubelet"},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			test.change(&f)
			found := Judge(f, ForCluster)
			i := slices.IndexFunc(found, func(f Finding) bool { return f.Check == test.check })
			if i < 0 {
				t.Fatalf("not found: %+v", found)
			}
			if found[i].Blocking != test.blocking || Blocking(found) != test.blocking {
				t.Errorf("blocking: %+v", found)
			}
			if !strings.Contains(found[i].Problem+" "+found[i].Remedy, test.says) {
				t.Errorf("%+v does not say %q", found[i], test.says)
			}
			if found[i].Remedy == "" && found[i].Package == "" {
				t.Errorf("%+v has no remedy", found[i])
			}
		})
	}
}

func TestJudgeIsQuietWhereItShouldBe(t *testing.T) {
	for name, change := range map[string]func(*Facts){
		"own bridge's route": func(f *Facts) {
			f.OwnLinks = []string{"sv-salvor0"}
			f.Routes = append(f.Routes, host.Route{Dst: "10.244.0.0/24", Dev: "sv-salvor0"})
		},
		"own cluster runs": func(f *Facts) {
			f.Clusters = []ClusterFact{{Name: "salvor", Running: true}}
			f.ProxyTables, f.KubeletSocket = true, true
		},
		"built already": func(f *Facts) { f.Built, f.CacheFree = true, 3*gib },
	} {
		f := good()
		change(&f)
		if found := Judge(f, ForCluster); len(found) != 0 {
			t.Errorf("%s: %+v", name, found)
		}
	}
	f := good()
	f.Root, f.MemoryFree, f.BridgeFilter = false, 0, false
	if found := Judge(f, ForBuild); len(found) != 0 {
		t.Errorf("building asks for what only running needs: %+v", found)
	}
}

// All findings come at once, and one line installs all packages.
func TestAllAtOnce(t *testing.T) {
	f := good()
	f.Programs = map[string]bool{}
	f.Seccomp, f.Busybox, f.BridgeFilter, f.Instances = false, false, false, 8
	found := Judge(f, ForCluster)
	if len(found) < 9 {
		t.Fatalf("%d findings: %+v", len(found), found)
	}
	if last := found[len(found)-1]; last.Blocking {
		t.Errorf("notes stand after what blocks: %+v", last)
	}
	want := "apt-get install -y --no-install-recommends busybox-static gcc iproute2 libseccomp-dev mount nftables pkg-config"
	if got := AptLine(Packages(found)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCapsNotIn(t *testing.T) {
	if missing := capsNotIn(^uint64(0)); missing != nil {
		t.Errorf("all rights, and missing %v", missing)
	}
	if missing := capsNotIn(0); len(missing) != len(wantCaps) {
		t.Errorf("no rights, and missing only %v", missing)
	}
}
