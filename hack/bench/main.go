// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

// Bench measures, on the cluster that KUBECONFIG names, what only a real one can
// show: the time from SIGKILL to the healed manifest beside the pod's own restart
// (goal 10), requests and API writes of one recovery (goal 2), a writer that sleeps through
// its recovery (goal 12), what it costs that the operator is killed in the middle of one
// (goal 13), for how long a store is closed for a roll-back (goal 14), what its neighbours
// feel of a freeze (goal 15), a drain (goal 16), and the operator's memory; and, without a
// cluster, on a directory of this machine: commits beside a large checkpoint (goal 34).
// Every figure is printed with what it is measured against in the same run.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

type bench struct {
	*harness.Harness
	machine cluster.Cluster
	nodes   []string
}

func main() {
	kills := flag.Int("kills", 100, "kills of a writer container (goal 10)")
	operators := flag.Int("operators", 20, "kills of an operator in the middle of a recovery (goal 13)")
	stops := flag.Int("stops", 20, "times a writer is stopped and sleeps through its recovery (goal 12)")
	undos := flag.Int("undos", 200, "freezes for a roll-back (goal 14)")
	stores := flag.Int("stores", 100, "stores, one of which is frozen (goal 15)")
	rounds := flag.Int("rounds", 5, "times that each of twenty pods is evicted (goal 16)")
	streams := flag.Int("streams", 24, "pods of the largest store (memory)")
	mib := flag.Int("mib", 1024, "MiB of rows in a checkpoint (goal 34)")
	checkpoints := flag.Int("checkpoints", 5, "checkpoints of that size (goal 34)")
	dir := flag.String("dir", "", "directory on the disk that is measured (goal 34; default: the one for temporary files)")
	parts := flag.String("parts", "memory,requests,heal,stopped,operator,undo,neighbours,drain,checkpoint", "what is measured, in this order")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, here := &bench{}, local{dir: *dir, say: say}
	measures := map[string]func(context.Context) error{
		"memory":     func(ctx context.Context) error { return b.memory(ctx, *streams) },
		"requests":   b.requests,
		"heal":       func(ctx context.Context) error { return b.heal(ctx, *kills) },
		"stopped":    func(ctx context.Context) error { return b.stopped(ctx, *stops) },
		"operator":   func(ctx context.Context) error { return b.mid(ctx, *operators) },
		"undo":       func(ctx context.Context) error { return b.undo(ctx, *undos) },
		"neighbours": func(ctx context.Context) error { return b.neighbours(ctx, *stores) },
		"drain":      func(ctx context.Context) error { return b.drain(ctx, *rounds) },
		"checkpoint": func(ctx context.Context) error { return here.checkpoint(ctx, *mib, *checkpoints) },
	}
	if err := b.run(ctx, strings.Split(*parts, ","), measures); err != nil {
		fmt.Fprintln(os.Stderr, "bench: FAILED:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, parts []string, measures map[string]func(context.Context) error) error {
	for _, part := range parts {
		if measures[part] == nil {
			return fmt.Errorf("-parts: %q is none of %s", part, strings.Join(slices.Sorted(maps.Keys(measures)), ", "))
		}
	}
	if !slices.ContainsFunc(parts, func(part string) bool { return !slices.Contains(withoutCluster, part) }) {
		return measure(ctx, parts, measures)
	}
	machine, err := cluster.FromEnvironment()
	if err != nil {
		return err
	}
	h, err := harness.Connect(os.Stdout)
	if err != nil {
		return err
	}
	b.Harness, b.machine = h, machine
	if b.nodes, err = b.nodeNames(ctx); err != nil {
		return err
	}
	b.Say("starting the object store and the operator")
	if err := b.on(ctx, 0, func() error {
		if err := b.StartStorage(ctx); err != nil {
			return err
		}
		return b.InstallOperator(ctx)
	}); err != nil {
		return err
	}
	return measure(ctx, parts, measures)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}

// withoutCluster are the parts that need none.
var withoutCluster = []string{"checkpoint"}

func measure(ctx context.Context, parts []string, measures map[string]func(context.Context) error) error {
	for _, part := range parts {
		if err := measures[part](ctx); err != nil {
			return err
		}
	}
	return nil
}
