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
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// frozen is what a freeze came to in one namespace.
type frozen struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Stores    []string  `json:"stores,omitempty"`
	Until     time.Time `json:"until"`
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
StoreMaintenance for each, under a label of their own).

Exit codes: 0 every store is held; 1 they are not, and the message says which pod
is waited for; 2 it could not be asked for.`,
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
	for _, m := range want {
		if err := c.Create(ctx, m, opts...); err != nil {
			return fmt.Errorf("freeze namespace %s: %w", m.Namespace, err)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "StoreMaintenance %s/%s%s, until %s\n", m.Namespace, m.Name, dry(f.dryRun), m.Spec.Until.UTC().Format(time.RFC3339))
	}
	results := make([]frozen, len(want))
	for i, m := range want {
		results[i] = frozenOf(m)
		if f.dryRun == "none" && f.wait >= 0 {
			if results[i], err = awaitHeld(cmd, c, m, f.patience()); err != nil {
				return err
			}
		}
	}
	if err := (&rootFlags{output: f.output}).print(cmd.OutOrStdout(), results, func(w io.Writer) { tellFrozen(w, results) }); err != nil {
		return err
	}
	if f.dryRun != "none" || f.wait < 0 {
		return nil
	}
	for _, r := range results {
		if !r.Held {
			return bad("%s/%s is not held: %s; to give up: kubectl salvor thaw -n %s %s", r.Namespace, r.Name, r.Message, r.Namespace, r.Name)
		}
	}
	return nil
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
		return []*v1alpha1.StoreMaintenance{m}, nil
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

// awaitHeld watches a StoreMaintenance until it is held or over, telling what it waits for.
func awaitHeld(cmd *cobra.Command, c client.WithWatch, m *v1alpha1.StoreMaintenance, within time.Duration) (frozen, error) {
	w, err := c.Watch(cmd.Context(), &v1alpha1.StoreMaintenanceList{}, client.InNamespace(m.Namespace),
		client.MatchingLabelsSelector{Selector: labels.SelectorFromSet(m.Labels)})
	if err != nil {
		return frozen{}, err
	}
	defer w.Stop()
	over := time.NewTimer(within)
	defer over.Stop()
	now, last := frozenOf(m), ""
	for {
		select {
		case e, ok := <-w.ResultChan():
			if !ok {
				return now, errors.New("the API server ended the watch")
			}
			seen, ok := e.Object.(*v1alpha1.StoreMaintenance)
			if !ok || seen.UID != m.UID {
				continue
			}
			now = frozenOf(seen)
			stalled := apimeta.FindStatusCondition(seen.Status.Conditions, v1alpha1.ConditionStalled)
			if now.Held || now.Released || stalled != nil && stalled.Status == metav1.ConditionTrue {
				return now, nil
			}
			if now.Message != last && now.Message != "" {
				last = now.Message
				fmt.Fprintln(cmd.ErrOrStderr(), last)
			}
		case <-over.C:
			return now, nil
		case <-cmd.Context().Done():
			return now, cmd.Context().Err()
		}
	}
}

func frozenOf(m *v1alpha1.StoreMaintenance) frozen {
	f := frozen{Namespace: m.Namespace, Name: m.Name, Until: m.Spec.Until.UTC()}
	for _, s := range m.Status.Stores {
		f.Stores = append(f.Stores, s.Name)
	}
	for _, t := range []string{v1alpha1.ConditionHeld, v1alpha1.ConditionReleased} {
		c := apimeta.FindStatusCondition(m.Status.Conditions, t)
		if c == nil {
			continue
		}
		is := c.Status == metav1.ConditionTrue
		if t == v1alpha1.ConditionHeld {
			f.Held, f.Reason, f.Message = is, c.Reason, c.Message
		} else if is {
			f.Released, f.Reason, f.Message = true, c.Reason, c.Message
		}
	}
	return f
}

func tellFrozen(w io.Writer, all []frozen) {
	for _, f := range all {
		fmt.Fprintf(w, "%s/%s  held=%t  until %s  %s\n", f.Namespace, f.Name, f.Held, f.Until.Format(time.RFC3339), strings.Join(f.Stores, ", "))
	}
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
