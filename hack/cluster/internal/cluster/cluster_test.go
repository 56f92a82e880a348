// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseBundle(t *testing.T) {
	c, err := parseBundle([]byte(`{"annotations": {
		"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "store",
		"io.kubernetes.cri.sandbox-name": "store-0", "io.kubernetes.cri.sandbox-namespace": "demo",
		"io.kubernetes.cri.sandbox-uid": "u1"}, "linux": {"cgroupsPath": "/salvor-x/0/kubepods/podu1/c1"}}`))
	if err != nil || c.Name != "store" || c.Pod != "store-0" || c.Namespace != "demo" || c.UID != "u1" || c.cgroup == "" {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, bad := range []string{"", "{}", `{"annotations": {"io.kubernetes.cri.container-type": "sandbox"}}`} {
		if _, err := parseBundle([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a container", bad)
		}
	}
}

func TestChoose(t *testing.T) {
	// Newest first, as Containers returns them.
	all := []Container{
		{Namespace: "a", Pod: "p", UID: "new", Name: "x", PID: 5},
		{Namespace: "a", Pod: "q", UID: "q1", Name: "x", PID: 4},
		{Namespace: "a", Pod: "q", UID: "q1", Name: "y", PID: 3},
		{Namespace: "b", Pod: "p", UID: "b1", Name: "x", PID: 2},
		{Namespace: "a", Pod: "p", UID: "old", Name: "x", PID: 1},
	}
	for _, test := range []struct {
		namespace, pod, name string
		pid                  int
		says                 string
	}{
		{"a", "p", "", 5, ""},
		{"a", "p", "x", 5, ""},
		{"b", "p", "", 2, ""},
		{"a", "q", "y", 3, ""},
		{"a", "q", "", 0, "x, y"},
		{"a", "q", "z", 0, "nothing lives"},
		{"c", "p", "", 0, "nothing lives"},
	} {
		c, err := choose(all, test.namespace, test.pod, test.name)
		if c.PID != test.pid || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: got %d, %v", test, c.PID, err)
		}
	}
}

func TestIsShimOf(t *testing.T) {
	const socket = "/state/a/nodes/0/containerd.sock"
	for line, want := range map[string]bool{
		"/cache/containerd-shim-runc-v2 -namespace k8s.io -id x -address " + socket:        true,
		"/cache/containerd-shim-runc-v2 -namespace k8s.io -id x -address " + socket + "2":  false,
		"/cache/containerd-shim-runc-v2 -namespace k8s.io -id x -address /run/other.sock":  false,
		"vi containerd-shim-runc-v2 -address " + socket:                                    false,
		"/cache/containerd --address " + socket:                                            false,
		"/cache/containerd-shim-runc-v2 -namespace k8s.io -id x -publish-binary " + socket: false,
	} {
		if got := isShimOf(strings.Fields(line), socket); got != want {
			t.Errorf("%s: got %v", line, got)
		}
	}
	if isShimOf(nil, socket) {
		t.Error("nothing is a shim")
	}
}

func TestNewState(t *testing.T) {
	t.Setenv("SALVOR_STATE", shortDir(t))
	c := Config{
		Name: "t", Nodes: 2, PodCIDR: netip.MustParsePrefix("10.9.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.8.0.0/16"),
		Options: Options{FastRestarts: true, NodeGrace: 8 * time.Second},
	}
	made, err := newState(c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load("t")
	if err != nil {
		t.Fatal(err)
	}
	if s.Options != c.Options || len(s.Nodes) != 2 || s.Nodes[1] != made.Nodes[1] || len(s.Sysctls) == 0 {
		t.Errorf("loaded %+v", s)
	}
	if s.Nodes[0].Address() != "10.9.0.1" || s.Nodes[1].Address() != "10.9.1.1" || s.dnsAddress() != "10.8.0.10" {
		t.Errorf("addresses %s %s %s", s.Nodes[0].Address(), s.Nodes[1].Address(), s.dnsAddress())
	}
	if s.cgroup(s.Nodes[0]) == s.cgroup(s.Nodes[1]) || s.Nodes[0].Bridge == s.Nodes[1].Bridge {
		t.Error("nodes share what must be their own")
	}
	seen := map[int]string{}
	for name, port := range s.Ports {
		if other, ok := seen[port]; ok {
			t.Errorf("%s and %s share a port", name, other)
		}
		seen[port] = name
	}
	text, err := s.addons()
	if err != nil || !strings.Contains(string(text), "clusterIP: 10.8.0.10") || strings.Contains(string(text), "{{") || strings.Contains(string(text), "no value") {
		t.Errorf("addons: %v\n%s", err, text)
	}
}

// Nodes share the machine's cores out among themselves, all of them and none twice.
func TestDivideCores(t *testing.T) {
	t.Setenv("SALVOR_STATE", shortDir(t))
	for want, nodes := range map[string]int{"0-7": 1, "0-3 4-7": 2, "0-1 2-4 5-7": 3} {
		s := &State{Nodes: make([]Node, nodes)}
		if err := s.divideCores(8); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range s.Nodes {
			got = append(got, n.Cores)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%d nodes: %v, want %s", nodes, got, want)
		}
		if err := s.addNode(); err == nil || !strings.Contains(err.Error(), "run down first") {
			t.Errorf("a node without a core: %v", err)
		}
	}
	if err := (&State{Nodes: make([]Node, 3)}).divideCores(2); err == nil {
		t.Error("two cores were divided among three nodes")
	}
}

// What was not asked for is taken as it is; what was must not differ.
func TestWiden(t *testing.T) {
	t.Setenv("SALVOR_STATE", shortDir(t))
	c := Config{Name: "t", Nodes: 1, PodCIDR: netip.MustParsePrefix("10.9.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.8.0.0/16"), Options: Options{AuditLog: true}}
	s, err := newState(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Options.AuditLog, c.Nodes = false, 2
	c.Asked = func(string) bool { return false }
	if err := s.widen(c); err != nil || len(s.Nodes) != 2 || !s.Options.AuditLog {
		t.Errorf("%v, %+v", err, s)
	}
	taken := map[int]bool{}
	for _, port := range s.takenPorts() {
		if taken[port] {
			t.Errorf("port %d twice", port)
		}
		taken[port] = true
	}
	c.Asked = func(flag string) bool { return flag == "audit-log" }
	if err := s.widen(c); err == nil || !strings.Contains(err.Error(), "--audit-log") {
		t.Errorf("a change goes unnoticed: %v", err)
	}
}

// A description that cannot be read must not keep "down" from its work.
func TestSalvage(t *testing.T) {
	t.Setenv("SALVOR_STATE", shortDir(t))
	c := Config{Name: "t", Nodes: 2, PodCIDR: netip.MustParsePrefix("10.9.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.8.0.0/16")}
	want, err := newState(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want.path("cluster.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("t"); err == nil {
		t.Fatal("a damaged description is read")
	}
	got, err := salvage("t")
	if err != nil || len(got.Nodes) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, n := range got.Nodes {
		w := want.Nodes[i]
		if n.Bridge != w.Bridge || got.cgroup(n) != want.cgroup(w) || got.socket(n) != want.socket(w) || got.networkName(n) != want.networkName(w) {
			t.Errorf("node %d: %+v", i, n)
		}
	}
}

func TestNewStateRefuses(t *testing.T) {
	t.Setenv("SALVOR_STATE", shortDir(t))
	good := Config{Name: "t", Nodes: 1, PodCIDR: netip.MustParsePrefix("10.9.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.8.0.0/16")}
	for _, name := range []string{"", "T", "1a", "../x", "a/b", "a-", strings.Repeat("a", 21)} {
		c := good
		c.Name = name
		if _, err := newState(c); err == nil {
			t.Errorf("name %q is accepted", name)
		}
		if _, err := Load(name); err == nil || strings.Contains(err.Error(), ErrNoCluster.Error()) {
			t.Errorf("load %q: %v", name, err)
		}
	}
	t.Setenv("SALVOR_STATE", filepath.Join(shortDir(t), strings.Repeat("x", 40)))
	if _, err := newState(good); err == nil || !strings.Contains(err.Error(), "SALVOR_STATE") {
		t.Errorf("a folder too long for sockets: %v", err)
	}
}

// shortDir is short enough for sockets below it, unlike t.TempDir.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// kube-proxy ends itself when its configuration is written, equal or not.
func TestWriteConfigLeavesEqualFilesAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	if err := writeConfig(file, "a"); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1000, 0)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	for text, same := range map[string]bool{"a": true, "b": false} {
		if err := writeConfig(file, text); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.ModTime().Equal(old) != same {
			t.Errorf("writing %q touched: %v", text, same)
		}
		_ = os.WriteFile(file, []byte("a"), 0o644)
		_ = os.Chtimes(file, old, old)
	}
}

func TestBridgeName(t *testing.T) {
	for _, name := range []string{"a", "salvor", "averylongclustername"} {
		for _, index := range []int{0, 255} {
			if got := bridgeName(name, index); len(got) > 15 {
				t.Errorf("%s is longer than the kernel takes", got)
			}
		}
	}
}

func TestIsBelow(t *testing.T) {
	for path, want := range map[string]bool{
		"/state/a/x.log": true, "/state/a": true, "/state/ab/x": false, "/state/a/../b": false, "/other": false,
	} {
		if got := isBelow(path, "/state/a"); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}
