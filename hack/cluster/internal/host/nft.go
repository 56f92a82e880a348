package host

import (
	"context"
	"errors"
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
