// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// snapshot is what a cluster could leave behind, as sorted lines.
type snapshot map[string][]string

// takeSnapshot looks at the machine. Processes of others come and go, so only
// those count that name the state folder or live in the cluster's groups.
func takeSnapshot(t *testing.T, state, name string) snapshot {
	t.Helper()
	s := snapshot{
		"processes": processes(state, name),
		"mounts":    mounts(t),
		"links":     lines(t, "ip", "-o", "link"),
		"addresses": lines(t, "ip", "-o", "addr"),
		"routes":    lines(t, "ip", "route", "show", "table", "all"),
		"tables":    lines(t, "nft", "list", "ruleset"),
		"groups":    glob("/sys/fs/cgroup/salvor-"+name, "/sys/fs/cgroup/*/salvor-"+name),
		"files": glob(state, state+"/*", "/var/log/containers/*", "/var/lib/cni", "/var/lib/cni/results/*",
			"/var/lib/kubelet", "/var/lib/kubelet/*", "/run/containerd", "/run/containerd/*", "/run/netns/*", "/run/nri",
			"/etc/cni", "/opt/cni", "/opt/containerd", "/etc/kubernetes", "/var/log/pods/*", "/usr/libexec/kubernetes"),
		"sockets": sockets(t, state),
	}
	for _, key := range []string{"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables", "vm/overcommit_memory", "vm/panic_on_oom",
		"kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		value, _ := os.ReadFile("/proc/sys/" + key)
		s["settings"] = append(s["settings"], key+"="+strings.TrimSpace(string(value)))
	}
	return s
}

// compare reports every line that is on one side only.
func (s snapshot) compare(t *testing.T, when string, after snapshot) {
	t.Helper()
	for kind := range s {
		was, is := set(s[kind]), set(after[kind])
		for line := range is {
			if !was[line] {
				t.Errorf("%s: left behind in %s: %s", when, kind, line)
			}
		}
		for line := range was {
			if !is[line] {
				t.Errorf("%s: missing from %s: %s", when, kind, line)
			}
		}
	}
}

func set(lines []string) map[string]bool {
	m := map[string]bool{}
	for _, line := range lines {
		m[line] = true
	}
	return m
}

func processes(state, name string) []string {
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		argv, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(argv) == 0 {
			continue // without a command line it is dead and waits for its parent, or the kernel's own
		}
		groups, _ := os.ReadFile(dir + "/cgroup")
		line := strings.TrimSpace(strings.ReplaceAll(string(argv), "\x00", " "))
		if strings.Contains(line, state) || strings.Contains(string(groups), "/salvor-"+name+"/") {
			found = append(found, filepath.Base(dir)+" "+line)
		}
	}
	return found
}

func mounts(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, fields[4])
		}
	}
	return points
}

// lines is a command's output without what changes by itself.
func lines(t *testing.T, name string, args ...string) []string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	all := strings.Split(strings.TrimSpace(string(out)), "\n")
	sort.Strings(all)
	return all
}

func glob(patterns ...string) []string {
	var found []string
	for _, p := range patterns {
		hits, _ := filepath.Glob(p)
		found = append(found, hits...)
	}
	return found
}

// sockets lists what listens: unix sockets below the state folder, and TCP in
// this network name space.
func sockets(t *testing.T, state string) []string {
	t.Helper()
	var found []string
	data, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if i := strings.Index(line, state); i >= 0 {
			found = append(found, strings.TrimSpace(line[i:]))
		}
	}
	if os.Getenv(insideEnv) == "" {
		return found // the machine's other programs listen as they please
	}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if fields := strings.Fields(line); len(fields) > 3 && fields[3] == "0A" {
				found = append(found, fmt.Sprintf("%s %s", filepath.Base(file), fields[1]))
			}
		}
	}
	return found
}
