// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// fleetStatus is what salvor status prints as JSON.
type fleetStatus struct {
	Stores   []storeStatus `json:"stores"`
	ExitCode int           `json:"exitCode"`
	Next     string        `json:"nextStep"`
}

func newStatusCommand() *cobra.Command {
	f := &clusterFlags{}
	var all, pods bool
	var output string
	cmd := &cobra.Command{
		Use:   "status [STORE]",
		Short: "Say where stores stand, and the one next step",
		Long: `Tells of each store whether it is healthy, and if not, why: who holds it and until
when, who has suspended it, which operations pend, which pods it has and how far their
logs are durable, and for how long the oldest of that has lasted. The last line is the
one next step.

Each pod of a store that is named (or, with --pods, of every store) is asked through
the API server how far its log is; that takes the right to get pods/proxy, and without
it the position says why it is not known.

Exit codes, the greatest of all that is seen:
  12  a person is needed: Poisoned, Stalled, NeedsApproval
  11  a store is held by a write lock: Frozen, Draining
  10  degraded, and it goes on by itself: Suspended, Isolated, NotReady, Recovering,
      or the operator has not said
   0  every store is Ready
   2  it could not be looked at`,
		Example: `  kubectl salvor status -A
  kubectl salvor status -n shop ledger
  kubectl salvor status -A -o json | jq -r .nextStep`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && all {
				return fmt.Errorf("say STORE or -A, one of them")
			}
			if output != "text" && output != "json" {
				return fmt.Errorf("--output %q: want text or json", output)
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			seen, err := f.look(cmd.Context(), name, all, pods || name != "")
			if err != nil {
				return err
			}
			now := time.Now()
			told := fleetStatus{Stores: []storeStatus{}}
			for _, s := range seen {
				told.Stores = append(told.Stores, judge(s, now))
			}
			told.ExitCode, told.Next = worstOf(told.Stores)
			if err := (&rootFlags{output: output}).print(cmd.OutOrStdout(), told, func(w io.Writer) { tellStatus(w, told) }); err != nil {
				return err
			}
			if told.ExitCode != 0 {
				return &exitError{told.ExitCode, fmt.Errorf("%s", summary(told.Stores))}
			}
			return nil
		},
	}
	f.addTo(cmd)
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "of all namespaces")
	cmd.Flags().BoolVar(&pods, "pods", false, "ask the pods of every store for their positions")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// look reads everything that a status is made of, in some lists.
func (f *clusterFlags) look(ctx context.Context, name string, all, ask bool) ([]seenStore, error) {
	c, namespace, err := f.open()
	if err != nil {
		return nil, err
	}
	in := []client.ListOption{client.InNamespace(namespace)}
	if all {
		in = nil
	}
	var stores v1alpha1.WALStoreList
	if name == "" {
		err = c.List(ctx, &stores, in...)
	} else {
		stores.Items = make([]v1alpha1.WALStore, 1)
		err = c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &stores.Items[0])
	}
	if err != nil {
		return nil, fmt.Errorf("read WALStores: %w", err)
	}
	var sidecars v1alpha1.RecoverySidecarList
	var maintenances v1alpha1.StoreMaintenanceList
	var pods corev1.PodList
	if err := c.List(ctx, &sidecars, in...); err != nil {
		return nil, fmt.Errorf("list RecoverySidecars: %w", err)
	}
	if err := c.List(ctx, &maintenances, in...); err != nil {
		return nil, fmt.Errorf("list StoreMaintenances: %w", err)
	}
	podsUnknown := ""
	if err := c.List(ctx, &pods, append(in, client.HasLabels{v1alpha1.LabelStore})...); apierrors.IsForbidden(err) {
		podsUnknown = "you may not list pods here" // the rest is worth telling
	} else if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	out := make([]seenStore, len(stores.Items))
	for i, ws := range stores.Items {
		s := seenStore{store: ws, podsUnknown: podsUnknown}
		for _, rsc := range sidecars.Items {
			if rsc.Namespace == ws.Namespace && rsc.Spec.StoreRef.Name == ws.Name {
				s.sidecars = append(s.sidecars, rsc)
			}
		}
		for _, m := range maintenances.Items {
			if m.Namespace == ws.Namespace {
				s.maintenances = append(s.maintenances, m)
			}
		}
		for j := range pods.Items {
			if p := &pods.Items[j]; p.Namespace == ws.Namespace && p.Labels[v1alpha1.LabelStore] == ws.Name {
				s.pods = append(s.pods, podOf(p))
			}
		}
		out[i] = s
	}
	if ask {
		f.positions(ctx, out)
	}
	return out, nil
}

func podOf(p *corev1.Pod) podStatus {
	out := podStatus{Name: p.Name}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			out.Ready = c.Status == corev1.ConditionTrue
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		out.Restarts += c.RestartCount
	}
	return out
}
