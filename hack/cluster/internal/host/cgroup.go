// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// CgroupV2 tells whether the machine has the unified hierarchy only.
func CgroupV2() bool {
	var st unix.Statfs_t
	return unix.Statfs(cgroupRoot, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// hierarchies are the folders below which groups are made.
func hierarchies() ([]string, error) {
	if CgroupV2() {
		return []string{cgroupRoot}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		dir := filepath.Join(cgroupRoot, e.Name())
		if real, err := filepath.EvalSymlinks(dir); err == nil && real == dir && isFile(filepath.Join(dir, "cgroup.procs")) {
			dirs = append(dirs, dir) // links such as cpu -> cpu,cpuacct are the same folder
		}
	}
	return dirs, nil
}

// EnsureCgroup makes a group in every hierarchy. A kubelet wants its root
// group to exist; each node has its own, since a kubelet kills what it does
// not know below its root.
func EnsureCgroup(group string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range dirs {
		dir := h
		for _, part := range strings.Split(strings.Trim(group, "/"), "/") {
			if CgroupV2() {
				if err := enableControllers(dir); err != nil {
					return err
				}
			}
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
			if err := inheritCpuset(parent, dir); err != nil {
				return err
			}
		}
		if CgroupV2() {
			if err := enableControllers(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// kubeletControllers are those that kubelet hands to pods in version 2.
var kubeletControllers = []string{"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}

// enableControllers hands the controllers of a version 2 group to its children.
func enableControllers(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, c := range strings.Fields(string(data)) {
		if !slices.Contains(kubeletControllers, c) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644); err != nil {
			return fmt.Errorf("enable controller %s below %s: %w (does a process live in that very group?)", c, dir, err)
		}
	}
	return nil
}

// inheritCpuset copies what version 1 leaves empty in a new cpuset group; no
// process can enter it before.
func inheritCpuset(parent, dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		have, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, os.ErrNotExist) || CgroupV2() {
			return nil
		}
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(have)) != "" {
			continue
		}
		from, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), from, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// SetCPUShares says how much of the processor a group gets while others want it, too,
// in the unit of version 1.
func SetCPUShares(group string, shares int) error {
	if CgroupV2() {
		weight := 1 + (shares-2)*9999/262142 // as kubelet and runc convert it
		return os.WriteFile(filepath.Join(cgroupRoot, group, "cpu.weight"), []byte(strconv.Itoa(max(1, weight))), 0o644)
	}
	return os.WriteFile(filepath.Join(cgroupRoot, "cpu", group, "cpu.shares"), []byte(strconv.Itoa(shares)), 0o644)
}

// SetCores says which cores a group runs on, as in cpuset.cpus.
func SetCores(group, cores string) error {
	dir := cgroupRoot
	if !CgroupV2() {
		dir = filepath.Join(dir, "cpuset")
	}
	return os.WriteFile(filepath.Join(dir, group, "cpuset.cpus"), []byte(cores), 0o644)
}

// CPUGroupFiles are the files that a process enters a group by, where that says what it
// gets of the processor.
func CPUGroupFiles(group string) []string {
	if CgroupV2() {
		return []string{filepath.Join(cgroupRoot, group, "cgroup.procs")}
	}
	return []string{filepath.Join(cgroupRoot, "cpu", group, "cgroup.procs"), filepath.Join(cgroupRoot, "cpuset", group, "cgroup.procs")}
}

// CgroupProcs lists the processes of a group and of all below it.
func CgroupProcs(group string) ([]int, error) {
	dirs, err := hierarchies()
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{}
	for _, h := range dirs {
		for _, dir := range tree(filepath.Join(h, group)) {
			data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			if err != nil {
				continue // the group went away meanwhile
			}
			for _, field := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					seen[pid] = true
				}
			}
		}
	}
	var pids []int
	for pid := range seen {
		pids = append(pids, pid)
	}
	sort.Ints(pids)
	return pids, nil
}

// RemoveCgroup removes a group and all below it; it must hold no process. The
// kernel frees a group a moment after its last process, hence the deadline.
func RemoveCgroup(group string, within time.Duration) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(within)
	for _, h := range dirs {
		for {
			all := tree(filepath.Join(h, group))
			var last error
			for i := len(all) - 1; i >= 0; i-- {
				if err := os.Remove(all[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
					last = err
				}
			}
			if last == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("control group stays: %w", last)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// tree lists a folder and the folders below it, parents first.
func tree(dir string) []string {
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	all := []string{dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return all
	}
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, tree(filepath.Join(dir, e.Name()))...)
		}
	}
	return all
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Controllers lists the controllers that groups can be made in.
func Controllers() []string {
	if CgroupV2() {
		data, _ := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
		return strings.Fields(string(data))
	}
	entries, _ := os.ReadDir(cgroupRoot)
	var names []string
	for _, e := range entries {
		if isFile(filepath.Join(cgroupRoot, e.Name(), "cgroup.procs")) {
			names = append(names, strings.Split(e.Name(), ",")...)
		}
	}
	return names
}

// CgroupProbe is a folder that must be writable to make groups.
func CgroupProbe() string {
	if dirs, err := hierarchies(); err == nil && len(dirs) > 0 {
		return dirs[0]
	}
	return cgroupRoot
}
