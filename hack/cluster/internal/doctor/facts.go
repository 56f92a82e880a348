// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/salvor-io/salvor/hack/cluster/internal/build"
	"github.com/salvor-io/salvor/hack/cluster/internal/cluster"
	"github.com/salvor-io/salvor/hack/cluster/internal/host"
	"github.com/salvor-io/salvor/hack/cluster/internal/paths"
)

// Look gathers the facts. What cannot be found out is left as if it were
// missing, so that it shows up as a finding.
func Look(ctx context.Context, pods, services netip.Prefix) Facts {
	f := Facts{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: kernelVersion(),
		Root: os.Geteuid() == 0, Sudo: onPath("sudo"), MissingCaps: missingCaps(),
		Programs: map[string]bool{}, Pods: pods, Services: services,
		CgroupV2: host.CgroupV2(), Controllers: host.Controllers(),
		CgroupsWrite: unix.Access(host.CgroupProbe(), unix.W_OK) == nil,
		Overlay:      knowsFilesystem("overlay"),
		StateFS:      filesystem(paths.State()),
		StateFree:    free(paths.State()),
		MemoryFree:   memoryAvailable(),
		Instances:    readInt("/proc/sys/fs/inotify/max_user_instances"),
	}
	for _, p := range []string{"gcc", "pkg-config", "nft", "ip", "mount"} {
		f.Programs[p] = onPath(p)
	}
	if out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output(); err == nil {
		f.GoVersion = strings.TrimSpace(string(out))
	}
	f.Seccomp = f.Programs["pkg-config"] && exec.CommandContext(ctx, "pkg-config", "--exists", "libseccomp").Run() == nil ||
		exists("/usr/include/seccomp.h")
	f.Headers = exists("/usr/include/stdio.h")
	_, err := cluster.Busybox()
	f.Busybox = err == nil
	f.BridgeFilter = exists("/proc/sys/net/bridge/bridge-nf-call-iptables")
	if cache, err := paths.Cache(); err == nil {
		f.CacheFree = free(cache)
	}
	f.Built = build.Ready(ctx, build.Node...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if f.Loopback = err; err == nil {
		l.Close()
	}
	f.Routes, _ = host.Routes(ctx)
	tables, _ := host.Tables(ctx)
	for _, t := range tables {
		f.ProxyTables = f.ProxyTables || t == "ip kube-proxy"
	}
	if c, err := net.DialTimeout("unix", "/var/lib/kubelet/device-plugins/kubelet.sock", time.Second); err == nil {
		c.Close()
		f.KubeletSocket = true
	}
	for _, s := range cluster.All() {
		f.Clusters = append(f.Clusters, ClusterFact{Name: s.Name, Running: s.Running()})
		for _, n := range s.Nodes {
			f.OwnLinks = append(f.OwnLinks, n.Bridge)
		}
	}
	return f
}

func onPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func kernelVersion() [2]int {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return [2]int{}
	}
	var v [2]int
	_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &v[0], &v[1])
	return v
}

// wantCaps are the capabilities that containerd, runc and the plugins use.
var wantCaps = map[string]int{
	"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_KILL": unix.CAP_KILL,
	"CAP_MKNOD": unix.CAP_MKNOD, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SETGID": unix.CAP_SETGID,
	"CAP_SETUID": unix.CAP_SETUID, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT,
	"CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE, "CAP_NET_RAW": unix.CAP_NET_RAW,
}

func missingCaps() []string {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		hex, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		have, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err != nil {
			return nil
		}
		return capsNotIn(have)
	}
	return nil
}

func capsNotIn(have uint64) []string {
	var missing []string
	for name, bit := range wantCaps {
		if have&(1<<bit) == 0 {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing
}

func knowsFilesystem(name string) bool {
	data, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[len(fields)-1] == name {
			return true
		}
	}
	return false
}

// existing is the nearest folder above a path that is there.
func existing(path string) string {
	for !exists(path) && path != "/" {
		path = filepath.Dir(path)
	}
	return path
}

func free(path string) uint64 {
	var st unix.Statfs_t
	if err := unix.Statfs(existing(path), &st); err != nil {
		return 0
	}
	return st.Bavail * uint64(st.Bsize)
}

func filesystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(existing(path), &st); err != nil {
		return ""
	}
	switch st.Type {
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.RAMFS_MAGIC:
		return "ramfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	}
	return "disk"
}

func memoryAvailable() uint64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kib uint64
		if n, _ := fmt.Sscanf(s.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

func readInt(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return n
}
