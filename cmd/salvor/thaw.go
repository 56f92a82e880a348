// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// thawFlags are the flags of salvor thaw.
type thawFlags struct {
	clusterFlags
	all, alone     bool
	freeze, output string
	wait           time.Duration
}

func newThawCommand() *cobra.Command {
	f := &thawFlags{}
	cmd := &cobra.Command{
		Use:   "thaw NAME...",
		Short: "End a freeze: stores take writes again",
		Long: `Deletes the StoreMaintenances of these names, and waits until no lock of theirs
holds a store. NAME may be that of a StoreMaintenance or of a WALStore, which means
everyone that holds it. --freeze is all that one freeze has made, in every namespace;
-A is everybody's freezes of every namespace.

Where the maintenance has hooks, the operator undoes them first; what is not undone
yet is told.

--without-operator publishes the release itself, with your rights: it reads the
WALStore and the Secret that opens its root. Pods see it within seconds. For a root
whose WALStore or namespace is gone there is salvor manifest thaw.

A lock that ended before, by somebody else's hand or by its time, is told as lost and
never as thawed: what was written since was not held back.

Exit codes: 0 thawed; 1 a lock is still there, or was lost; 2 it could not be asked
for.`,
		Example: `  kubectl salvor thaw freeze-4t6e2v9q
  kubectl salvor thaw ledger --without-operator
  kubectl salvor thaw --freeze 01km3s0t6c8x4t6e2v9q4t6e2v
  kubectl salvor thaw -A -o json`,
		RunE: func(cmd *cobra.Command, names []string) error { return f.run(cmd, names) },
	}
	f.addTo(cmd)
	fl := cmd.Flags()
	fl.BoolVarP(&f.all, "all-namespaces", "A", false, "every StoreMaintenance of every namespace")
	fl.StringVar(&f.freeze, "freeze", "", "what the freeze of this id has made, in every namespace")
	fl.BoolVar(&f.alone, "without-operator", false, "publish the release with your own rights")
	fl.DurationVar(&f.wait, "wait", time.Minute, "wait so long until no lock holds the stores")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	return cmd
}

func (f *thawFlags) run(cmd *cobra.Command, names []string) error {
	ctx := cmd.Context()
	if b2i(len(names) > 0)+b2i(f.all)+b2i(f.freeze != "") != 1 {
		return errors.New("say what to thaw: NAME..., --freeze ID, or -A for everything, one of them")
	}
	if f.output != "text" && f.output != "json" {
		return fmt.Errorf("--output %q: want text or json", f.output)
	}
	c, namespace, err := f.open()
	if err != nil {
		return err
	}
	found, err := f.toThaw(ctx, c, namespace, names)
	if err != nil {
		return err
	}
	results := f.thaw(cmd, c, found)
	err = (&rootFlags{output: f.output}).print(cmd.OutOrStdout(), results, func(w io.Writer) { tellThawed(w, results) })
	if err != nil {
		return err
	}
	var left []string
	for _, r := range results {
		if r.Outcome == heldStill || r.Outcome == lockLost || r.Outcome == notTold {
			left = append(left, fmt.Sprintf("%s/%s: %s: %s", r.Namespace, r.Store, r.Outcome, r.Message))
		}
	}
	if len(left) > 0 {
		return bad("not everything was thawed: %s", strings.Join(left, "; "))
	}
	return nil
}

// toThaw finds the locks that are meant.
func (f *thawFlags) toThaw(ctx context.Context, c client.Client, namespace string, names []string) ([]*thawing, error) {
	var l v1alpha1.StoreMaintenanceList
	var opts []client.ListOption
	switch {
	case f.freeze != "":
		opts = append(opts, client.MatchingLabels{v1alpha1.LabelFreeze: f.freeze})
	case !f.all:
		opts = append(opts, client.InNamespace(namespace))
	}
	if err := c.List(ctx, &l, opts...); err != nil {
		return nil, fmt.Errorf("list StoreMaintenances: %w", err)
	}
	var out []*thawing
	if len(names) == 0 {
		for i := range l.Items {
			out = append(out, thawingOf(&l.Items[i]))
		}
		if len(out) == 0 && f.freeze != "" {
			return nil, fmt.Errorf("no StoreMaintenance of any namespace has the label %s=%s: it was thawed before, or see kubectl salvor locks -A", v1alpha1.LabelFreeze, f.freeze)
		}
		return out, nil
	}
	for _, name := range names {
		n := len(out)
		for i := range l.Items {
			if concerns(&l.Items[i], name) {
				out = append(out, thawingOf(&l.Items[i]))
			}
		}
		if len(out) > n {
			continue
		}
		left, err := leftLock(ctx, c, namespace, name)
		if err != nil {
			return nil, err
		}
		out = append(out, left)
	}
	return out, nil
}

// concerns reports whether a StoreMaintenance has this name, or freezes a store of it.
func concerns(m *v1alpha1.StoreMaintenance, name string) bool {
	if m.Name == name || m.Spec.StoreRef != nil && m.Spec.StoreRef.Name == name {
		return true
	}
	for _, s := range m.Status.Stores {
		if s.Name == name {
			return true
		}
	}
	return false
}

// leftLock is the lock of a store whose StoreMaintenance is gone.
func leftLock(ctx context.Context, c client.Client, namespace, name string) (*thawing, error) {
	var ws v1alpha1.WALStore
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &ws)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return nil, err
	case err != nil || ws.Status.Lock == nil:
		return nil, fmt.Errorf("no StoreMaintenance of namespace %s is called %s or holds a store of that name: see kubectl salvor locks -n %s", namespace, name, namespace)
	case !strings.HasPrefix(ws.Status.Lock.Owner, "maintenance/"):
		return nil, fmt.Errorf("store %s is held by %s, which no StoreMaintenance has made: it is released by whoever works under it, or by salvor manifest thaw --root %s --owner %s",
			name, ws.Status.Lock.Owner, ws.Spec.Root.URI, ws.Status.Lock.Owner)
	}
	return &thawing{namespace: namespace, owner: ws.Status.Lock.Owner, until: ws.Status.Lock.Until.Time, lockedAt: []int64{ws.Status.Lock.Version}, stores: []thawed{{Namespace: namespace, Store: name, Owner: ws.Status.Lock.Owner}}}, nil
}
