// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKeyFollowsContent(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "build", "x")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module x\n")
	m := Module{Dir: "build/x"}
	key := func(m Module, version string) string {
		t.Helper()
		k, err := m.key(root, version)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := key(m, "go1.26.8")
	if first != key(m, "go1.26.8") {
		t.Fatal("the key is not stable")
	}
	seen := map[string]string{first: "first"}
	differs := func(what, k string) {
		t.Helper()
		if other, ok := seen[k]; ok {
			t.Errorf("%s has the key of %s", what, other)
		}
		seen[k] = what
	}
	differs("another Go", key(m, "go1.27.0"))
	tagged := m
	tagged.Tags = "seccomp"
	differs("a tag", key(tagged, "go1.26.8"))
	cgo := m
	cgo.CGO = true
	differs("cgo", key(cgo, "go1.26.8"))
	write("go.sum", "a\n")
	differs("go.sum", key(m, "go1.26.8"))
	write("main.go", "package main\n")
	last := key(m, "go1.26.8")
	differs("a source", last)
	write("main_test.go", "package main\n")
	write("README.md", "x")
	if key(m, "go1.26.8") != last {
		t.Error("files that are not built change the key")
	}
}

func TestOutputName(t *testing.T) {
	for pkg, want := range map[string]string{
		"go.etcd.io/etcd/server/v3":                           "server",
		"go.etcd.io/etcd/etcdctl/v3":                          "etcdctl",
		"k8s.io/kubernetes/cmd/kubelet":                       "kubelet",
		"github.com/containerd/containerd/v2/cmd/ctr":         "ctr",
		"github.com/containernetworking/plugins/plugins/vlan": "vlan",
	} {
		if got := outputName(pkg); got != want {
			t.Errorf("%s: got %s, want %s", pkg, got, want)
		}
	}
}

// Two programs of one name would shadow each other in Ensure.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range Names() {
		if seen[name] {
			t.Errorf("%s twice", name)
		}
		seen[name] = true
	}
	for _, list := range [][]string{Node, Envtest} {
		for _, name := range list {
			if !seen[name] {
				t.Errorf("%s is in no module", name)
			}
		}
	}
}
