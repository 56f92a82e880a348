// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Command prepares a command that ends with this program, however this one
// ends: a straggler would still change the machine while it is cleaned up.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Run runs a command of the machine and puts its words into the error.
func Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := Command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return out, nil
}

// FreePorts finds n free TCP ports on 127.0.0.1 that are none of the taken
// ones. It stays below the range that the kernel gives to outgoing
// connections: a port that is free while its owner restarts must not be taken
// by somebody's connection meanwhile.
func FreePorts(n int, taken ...int) ([]int, error) {
	const low = 20000
	high := 32768
	if data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if fields := strings.Fields(string(data)); len(fields) == 2 {
			if from, err := strconv.Atoi(fields[0]); err == nil && from > low+1000 {
				high = from
			}
		}
	}
	var ports []int
	start := rand.IntN(high - low)
	for i := 0; i < high-low && len(ports) < n; i++ {
		port := low + (start+i)%(high-low)
		if slices.Contains(taken, port) {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		l.Close()
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, fmt.Errorf("only %d of %d ports between %d and %d are free on 127.0.0.1", len(ports), n, low, high)
	}
	return ports, nil
}

// Gateway is the first address of a network.
func Gateway(network netip.Prefix) netip.Addr { return network.Masked().Addr().Next() }

// NodeNetwork is the index-th /24 of the pod network: one per node.
func NodeNetwork(pods netip.Prefix, index int) (netip.Prefix, error) {
	if pods.Bits() > 24 || !pods.Addr().Is4() {
		return netip.Prefix{}, fmt.Errorf("pod network %s: want IPv4 with at most 24 bits, as in 10.244.0.0/16", pods)
	}
	if index >= 1<<(24-pods.Bits()) {
		return netip.Prefix{}, fmt.Errorf("pod network %s has no room for node %d", pods, index)
	}
	a := pods.Masked().Addr().As4()
	n := uint32(a[0])<<16 | uint32(a[1])<<8 | uint32(a[2])
	n += uint32(index)
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 16), byte(n >> 8), byte(n), 0}), 24), nil
}

// EnsureBridge makes the bridge with its address, if it is not there.
func EnsureBridge(ctx context.Context, name string, network netip.Prefix) error {
	if !LinkExists(name) {
		if _, err := Run(ctx, "ip", "link", "add", name, "type", "bridge"); err != nil {
			return err
		}
	}
	address := netip.PrefixFrom(Gateway(network), network.Bits()).String()
	out, err := Run(ctx, "ip", "-o", "-4", "addr", "show", "dev", name)
	if err != nil {
		return err
	}
	if !strings.Contains(string(out), " "+address+" ") {
		if _, err := Run(ctx, "ip", "addr", "add", address, "dev", name); err != nil {
			return err
		}
	}
	_, err = Run(ctx, "ip", "link", "set", name, "up")
	return err
}

// LinkExists tells whether the machine has a network link of this name. The
// kernel is asked and not /sys, which shows the name space it was mounted in.
func LinkExists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// DeleteBridge removes the bridge and the pod links plugged into it.
func DeleteBridge(ctx context.Context, name string) error {
	if !LinkExists(name) {
		return nil
	}
	out, err := Run(ctx, "ip", "-j", "link", "show", "master", name)
	if err != nil {
		return err
	}
	var links []struct {
		Name string `json:"ifname"`
	}
	if len(strings.TrimSpace(string(out))) > 0 { // without links, ip prints nothing
		if err := json.Unmarshal(out, &links); err != nil {
			return fmt.Errorf("ip link show master %s: %w", name, err)
		}
	}
	links = append(links, struct {
		Name string `json:"ifname"`
	}{name})
	for _, link := range links {
		// A pod's link goes by itself when its name space goes: that it is
		// gone is what matters, not who did it.
		if _, err := Run(ctx, "ip", "link", "delete", link.Name); err != nil && LinkExists(link.Name) {
			return err
		}
	}
	return nil
}

// Route is one destination this machine knows.
type Route struct {
	Dst string `json:"dst"`
	Dev string `json:"dev"`
}

// Routes lists the IPv4 routes of all tables.
func Routes(ctx context.Context) ([]Route, error) {
	out, err := Run(ctx, "ip", "-j", "-4", "route", "show", "table", "all")
	if err != nil {
		return nil, err
	}
	var routes []Route
	if err := json.Unmarshal(out, &routes); err != nil {
		return nil, fmt.Errorf("ip route: %w", err)
	}
	return routes, nil
}

// Overlapping returns the routes that share addresses with a network, one per
// link. The default route and our own links do not count.
func Overlapping(network netip.Prefix, routes []Route, own func(dev string) bool) []Route {
	var hits []Route
	told := map[string]bool{}
	for _, r := range routes {
		if r.Dst == "default" || r.Dst == "" || own(r.Dev) {
			continue
		}
		dst, err := netip.ParsePrefix(r.Dst)
		if err != nil {
			addr, err := netip.ParseAddr(r.Dst)
			if err != nil {
				continue
			}
			dst = netip.PrefixFrom(addr, addr.BitLen())
		}
		if dst.Bits() > 0 && dst.Overlaps(network) && !told[r.Dev] {
			told[r.Dev] = true
			hits = append(hits, r)
		}
	}
	return hits
}
