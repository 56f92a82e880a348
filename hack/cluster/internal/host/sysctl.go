// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Package host changes the machine around the cluster and changes it back:
// kernel settings, links, control groups, mounts and packet filter tables.
package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// sysctlRoot is where the kernel shows its settings.
const sysctlRoot = "/proc/sys"

// Sysctls are the settings that a node changes, by us or by kubelet itself.
var Sysctls = map[string]string{
	"net/ipv4/ip_forward":       "1", // pods reach services and other nodes' pods
	"vm/overcommit_memory":      "1", // this and the following: kubelet sets them
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
	// Replies between pods of one bridge must pass the packet filter, which
	// undoes the translation of service addresses.
	"net/bridge/bridge-nf-call-iptables": "1",
}

// ReadSysctls returns the current values; settings this kernel lacks are left out.
func ReadSysctls() (map[string]string, error) {
	now := map[string]string{}
	for key := range Sysctls {
		data, err := os.ReadFile(filepath.Join(sysctlRoot, key))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		now[key] = strings.TrimSpace(string(data))
	}
	return now, nil
}

// WriteSysctls sets those values that differ.
func WriteSysctls(values map[string]string) error {
	for key, want := range values {
		path := filepath.Join(sysctlRoot, key)
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(data)) == want {
			continue
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			return err
		}
	}
	return nil
}
