// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// frozen is what a freeze came to in one namespace.
type frozen struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Stores    []string  `json:"stores,omitempty"`
	Until     time.Time `json:"until"`
	Freeze    string    `json:"freeze"` // the id that all namespaces of one freeze share
	Held      bool      `json:"held"`
	Released  bool      `json:"released,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Message   string    `json:"message,omitempty"`
}

// freezeFlags are the flags of salvor freeze.
type freezeFlags struct {
	clusterFlags
	all                             bool
	selector, name, reason, onTimeo string
	last, drain, wait               time.Duration
	dryRun, output                  string
}

func newFreezeCommand() *cobra.Command {
	f := &freezeFlags{}
	cmd := &cobra.Command{
		Use:   "freeze [STORE] --reason TEXT --for DURATION",
		Short: "Stop the writes of stores for a while; reads go on",
		Long: `Makes a StoreMaintenance and waits until every store is held: writers finish what
they have in hand, and park whoever comes to write. The locks end at the time that
you give, whether anybody is there to thaw or not.

One store by its name, some by their labels (-l), or all of every namespace (-A: one
StoreMaintenance for each, under a label that salvor thaw --freeze takes). If one
namespace refuses, nothing is frozen anywhere.

While it waits it says on stderr which pods it waits for, and it waits no longer than
the writers may take to drain, or than --wait, for all namespaces together.

Exit codes: 0 every store is held (or, with --dry-run=server, would be asked for);
1 they are not, and the message says which pod is waited for; 2 it could not be asked
for.`,
		Example: `  kubectl salvor freeze ledger --reason 'database restart' --for 30m
  kubectl salvor freeze -l team=payments --reason 'node pool upgrade' --for 2h --drain-timeout 10m
  kubectl salvor freeze -A --reason 'storage migration' --for 1h --dry-run=server`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.addTo(cmd)
	fl := cmd.Flags()
	fl.BoolVarP(&f.all, "all-namespaces", "A", false, "all stores of all namespaces")
	fl.StringVarP(&f.selector, "selector", "l", "", "stores with these labels")
	fl.StringVar(&f.name, "name", "", "name of the StoreMaintenance (default: freeze- and a random word)")
	fl.StringVar(&f.reason, "reason", "", "told to everybody who waits (required)")
	fl.DurationVar(&f.last, "for", 0, "how long at most, such as 30m (required)")
	fl.DurationVar(&f.drain, "drain-timeout", v1alpha1.DefaultDrainTimeout, "how long writers may take to finish what they have in hand")
	fl.StringVar(&f.onTimeo, "on-timeout", string(v1alpha1.DrainRelease), "when that is over: Release everything, or Hold without the pods that are late")
	fl.DurationVar(&f.wait, "wait", 0, "wait so long for the stores to be held; 0: as long as they drain; negative: not at all")
	fl.StringVar(&f.dryRun, "dry-run", "none", "none, or server: ask whether it would be taken, and change nothing")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	must(cmd.MarkFlagRequired("reason"))
	must(cmd.MarkFlagRequired("for"))
	return cmd
}

func (f *freezeFlags) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	if n := len(args) + b2i(f.selector != "") + b2i(f.all); n != 1 {
		return errors.New("say which stores: STORE, -l SELECTOR or -A, one of them")
	}
	if f.last <= 0 {
		return fmt.Errorf("--for %s: want a time from now, such as 30m", f.last)
	}
	if f.dryRun != "none" && f.dryRun != "server" {
		return fmt.Errorf("--dry-run=%s: want none or server", f.dryRun)
	}
	c, namespace, err := f.open()
	if err != nil {
		return err
	}
	want, err := f.maintenances(ctx, c, namespace, args)
	if err != nil {
		return err
	}
	var opts []client.CreateOption
	if f.dryRun == "server" {
		opts = append(opts, client.DryRunAll)
	}
	for i, m := range want {
		if err := c.Create(ctx, m, opts...); err != nil {
			return errors.Join(fmt.Errorf("freeze namespace %s: %w", m.Namespace, err), f.undo(ctx, c, want[:i]))
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "StoreMaintenance %s/%s%s, until %s\n", m.Namespace, m.Name, dry(f.dryRun), m.Spec.Until.UTC().Format(time.RFC3339))
	}
	results := make([]frozen, len(want))
	deadline := time.Now().Add(f.patience())
	for i, m := range want {
		results[i] = frozenOf(m)
		if f.dryRun == "none" && f.wait >= 0 {
			if results[i], err = awaitHeld(cmd, c, m, time.Until(deadline)); err != nil {
				return err
			}
		}
	}
	if f.dryRun == "none" && f.wait >= 0 {
		awaitTold(ctx, c, want, results)
	}
	if err := (&rootFlags{output: f.output}).print(cmd.OutOrStdout(), results, func(w io.Writer) { tellFrozen(w, results, f.dryRun == "none") }); err != nil {
		return err
	}
	if f.dryRun != "none" || f.wait < 0 {
		return nil
	}
	for _, r := range results {
		if !r.Held {
			return bad("%s/%s is not held: %s; to give up: kubectl salvor thaw --freeze %s", r.Namespace, r.Name, r.Message, r.Freeze)
		}
	}
	return nil
}

// undo takes back what was made before one namespace refused.
func (f *freezeFlags) undo(ctx context.Context, c client.Client, made []*v1alpha1.StoreMaintenance) (failed error) {
	if f.dryRun != "none" {
		return nil
	}
	for _, m := range made {
		if err := c.Delete(ctx, m, client.Preconditions{UID: &m.UID}); client.IgnoreNotFound(err) != nil {
			failed = errors.Join(failed, fmt.Errorf("StoreMaintenance %s/%s is still there: %w", m.Namespace, m.Name, err))
		}
	}
	return failed
}

// patience is how long to wait for the stores to be held.
func (f *freezeFlags) patience() time.Duration {
	if f.wait > 0 {
		return f.wait
	}
	return min(f.drain+30*time.Second, f.last)
}

// maintenances are what has to be made: one for each namespace.
func (f *freezeFlags) maintenances(ctx context.Context, c client.Client, namespace string, args []string) ([]*v1alpha1.StoreMaintenance, error) {
	group := strings.ToLower(newID())
	name := f.name
	if name == "" {
		name = "freeze-" + group[len(group)-8:]
	}
	one := func(namespace string) *v1alpha1.StoreMaintenance {
		m := &v1alpha1.StoreMaintenance{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelFreeze: group}},
			Spec: v1alpha1.StoreMaintenanceSpec{
				Reason: f.reason, Until: metav1.NewTime(time.Now().Add(f.last)),
				Drain: v1alpha1.Drain{Timeout: &metav1.Duration{Duration: f.drain}, OnTimeout: v1alpha1.OnDrainTimeout(f.onTimeo)},
			},
		}
		if me, err := user.Current(); err == nil && me.Username != "" {
			m.Annotations = map[string]string{v1alpha1.AnnotationAskedBy: me.Username}
		}
		return m
	}
	if !f.all {
		m := one(namespace)
		if len(args) == 1 {
			m.Spec.StoreRef = &v1alpha1.LocalReference{Name: args[0]}
			return []*v1alpha1.StoreMaintenance{m}, c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: args[0]}, &v1alpha1.WALStore{})
		}
		sel, err := metav1.ParseToLabelSelector(f.selector)
		if err != nil {
			return nil, fmt.Errorf("-l %s: %w", f.selector, err)
		}
		m.Spec.Selector = sel
		return []*v1alpha1.StoreMaintenance{m}, f.matches(ctx, c, namespace, sel)
	}
	var l v1alpha1.WALStoreList
	if err := c.List(ctx, &l); err != nil {
		return nil, err
	}
	var out []*v1alpha1.StoreMaintenance
	for i := range l.Items {
		if ns := l.Items[i].Namespace; !slices.ContainsFunc(out, func(m *v1alpha1.StoreMaintenance) bool { return m.Namespace == ns }) {
			m := one(ns)
			m.Spec.Selector = &metav1.LabelSelector{}
			out = append(out, m)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no WALStore in any namespace")
	}
	return out, nil
}

// matches refuses a selector that would wait for stores until the freeze is over.
func (f *freezeFlags) matches(ctx context.Context, c client.Client, namespace string, by *metav1.LabelSelector) error {
	sel, err := metav1.LabelSelectorAsSelector(by)
	if err != nil {
		return fmt.Errorf("-l %s: %w", f.selector, err)
	}
	var l v1alpha1.WALStoreList
	if err := c.List(ctx, &l, client.InNamespace(namespace), client.MatchingLabelsSelector{Selector: sel}); err != nil {
		return err
	}
	if len(l.Items) == 0 {
		return fmt.Errorf("-l %s: no WALStore of namespace %s has these labels", f.selector, namespace)
	}
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func dry(how string) string {
	if how == "server" {
		return " (dry run)"
	}
	return ""
}
