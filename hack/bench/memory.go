// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/test/e2e/cluster"
	"github.com/salvor-io/salvor/test/e2e/harness"
)

var getOptions = metav1.GetOptions{}

// rest is how long the operator is left alone before its memory is read.
const rest = 20 * time.Second

// memory reads the resident memory of the operator that acts: with nothing to
// watch, and with a store of 1, half of n and n pods, each of which it keeps a
// stream to.
func (b *bench) memory(ctx context.Context, n int) error {
	if b.machine.Name() != "local" {
		b.Say("memory: only on the local cluster, whose processes are this machine's")
		return nil
	}
	type point struct{ streams, kib int }
	var seen []point
	look := func(streams int) error {
		_ = objstore.Sleep(ctx, rest)
		kib, err := b.residentKiB(ctx)
		seen = append(seen, point{streams, kib})
		b.Say("memory: %d streams: %d KiB resident", streams, kib)
		return err
	}
	if err := look(0); err != nil {
		return err
	}
	o := harness.StoreOptions{Namespace: "bench-memory", Name: "orders", Replicas: 1, Interval: "30s"}
	if err := b.CreateStore(ctx, o, 3*time.Minute); err != nil {
		return err
	}
	defer b.remove(ctx, o.Namespace)
	for _, replicas := range []int{1, n / 2, n} {
		ws := &v1alpha1.WALStore{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name}}
		patch := fmt.Sprintf(`{"spec":{"managed":{"replicas":%d}}}`, replicas)
		if err := b.Patch(ctx, ws, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			return err
		}
		if err := b.StoreReady(ctx, o.Namespace, o.Name, 10*time.Minute); err != nil {
			return err
		}
		if err := look(replicas); err != nil {
			return err
		}
	}
	first, last := seen[1], seen[len(seen)-1]
	fmt.Printf(`
memory    the operator that acts, resident, %s after the last change
  at rest, nothing to watch   %d KiB
`, rest, seen[0].kib)
	for _, p := range seen[1:] {
		fmt.Printf("  %3d streams                 %d KiB\n", p.streams, p.kib)
	}
	fmt.Printf("  slope                       %.1f KiB a stream (pod, writer and stream)\n\n", float64(last.kib-first.kib)/float64(last.streams-first.streams))
	return nil
}

func (b *bench) residentKiB(ctx context.Context) (int, error) {
	pod, err := b.Leader(ctx)
	if err != nil {
		return 0, err
	}
	// A signal that changes nothing: it tells the process id.
	pid, err := b.machine.Signal(ctx, harness.OperatorNamespace, pod, "operator", cluster.Continue)
	if err != nil {
		return 0, err
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.Fields(v)[0])
		}
	}
	return 0, fmt.Errorf("no VmRSS in /proc/%d/status", pid)
}
