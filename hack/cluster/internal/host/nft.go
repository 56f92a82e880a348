// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// Tables lists the packet filter's tables as "family name".
func Tables(ctx context.Context) ([]string, error) {
	out, err := Run(ctx, "nft", "list", "tables")
	if err != nil {
		return nil, err
	}
	var tables []string
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "table "); ok {
			tables = append(tables, rest)
		}
	}
	return tables, nil
}

// DeleteTables removes the tables that are there.
func DeleteTables(ctx context.Context, names []string) error {
	have, err := Tables(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		return nil // without the program there cannot be a table of ours
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		for _, table := range have {
			if table != name {
				continue
			}
			if _, err := Run(ctx, "nft", append([]string{"delete", "table"}, strings.Fields(name)...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// HairpinTable writes a table that lets a pod of the given networks reach
// itself through a service address. kube-proxy does that for the pods of its
// own node only, and here one kube-proxy serves all nodes.
func HairpinTable(ctx context.Context, table string, networks []netip.Prefix) error {
	if len(networks) == 0 {
		return DeleteTables(ctx, []string{"ip " + table})
	}
	var elements []string
	for _, network := range networks {
		for a := Gateway(network).Next(); network.Contains(a); a = a.Next() {
			elements = append(elements, a.String()+" . "+a.String())
		}
	}
	script := fmt.Sprintf(`add table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
  set self {
    type ipv4_addr . ipv4_addr
    elements = { %[2]s }
  }
  chain postrouting {
    type nat hook postrouting priority srcnat + 10
    ct status dnat ip saddr . ip daddr @self masquerade
  }
}
`, table, strings.Join(elements, ", "))
	cmd := Command(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// ForwardDrops tells whether the machine drops forwarded packets unless a rule
// accepts them, as container engines set it up.
func ForwardDrops(ctx context.Context) bool {
	out, err := Run(ctx, "iptables", "-S", "FORWARD")
	return err == nil && strings.Contains(string(out), "-P FORWARD DROP")
}

// ForwardRules adds or removes the rules that let pods' packets pass where
// forwarded packets are dropped.
func ForwardRules(ctx context.Context, pods netip.Prefix, add bool) error {
	for _, side := range []string{"-s", "-d"} {
		rule := []string{"FORWARD", side, pods.String(), "-j", "ACCEPT"}
		_, err := Run(ctx, "iptables", append([]string{"-C"}, rule...)...)
		there := err == nil
		switch {
		case add && !there:
			if _, err := Run(ctx, "iptables", append([]string{"-I"}, rule...)...); err != nil {
				return err
			}
		case !add && there:
			if _, err := Run(ctx, "iptables", append([]string{"-D"}, rule...)...); err != nil {
				return err
			}
		}
	}
	return nil
}
