// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/controllers"
	"github.com/salvor-io/salvor/manifest"
)

func newThawCommand() *cobra.Command {
	f := &clusterFlags{}
	var all, alone bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "thaw NAME...",
		Short: "End a freeze: stores take writes again",
		Long: `Deletes the StoreMaintenances of these names, and waits until no lock of theirs
holds a store. NAME may be that of a StoreMaintenance or of a WALStore, which means
everyone that holds it.

Where the maintenance has hooks, the operator undoes them first; what is not undone
yet is told.

--without-operator publishes the release itself, with your rights: it reads the
WALStore and the Secret that opens its root. Pods see it within seconds. For a root
without a cluster there is salvor manifest thaw.

Exit codes: 0 thawed; 1 a lock is still there; 2 it could not be asked for.`,
		Example: `  kubectl salvor thaw freeze-4t6e2v9q
  kubectl salvor thaw ledger --without-operator
  kubectl salvor thaw -A`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if (len(names) > 0) == all {
				return errors.New("say what to thaw: NAME..., or -A for everything, one of them")
			}
			c, namespace, err := f.open()
			if err != nil {
				return err
			}
			found, err := toThaw(cmd.Context(), c, namespace, names, all)
			if err != nil {
				return err
			}
			for i := range found {
				if err := thawOne(cmd, c, &found[i], alone, wait); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.addTo(cmd)
	fl := cmd.Flags()
	fl.BoolVarP(&all, "all-namespaces", "A", false, "every StoreMaintenance of every namespace")
	fl.BoolVar(&alone, "without-operator", false, "publish the release with your own rights")
	fl.DurationVar(&wait, "wait", time.Minute, "wait so long until no lock holds the stores")
	return cmd
}

// toThaw finds the StoreMaintenances that are meant.
func toThaw(ctx context.Context, c client.Client, namespace string, names []string, all bool) ([]v1alpha1.StoreMaintenance, error) {
	var l v1alpha1.StoreMaintenanceList
	opts := []client.ListOption{client.InNamespace(namespace)}
	if all {
		opts = nil
	}
	if err := c.List(ctx, &l, opts...); err != nil || all {
		return l.Items, err
	}
	var out []v1alpha1.StoreMaintenance
	for _, name := range names {
		n := len(out)
		for _, m := range l.Items {
			if m.Name == name || m.Spec.StoreRef != nil && m.Spec.StoreRef.Name == name {
				out = append(out, m)
				continue
			}
			for _, s := range m.Status.Stores {
				if s.Name == name {
					out = append(out, m)
				}
			}
		}
		if len(out) == n {
			return nil, fmt.Errorf("no StoreMaintenance of namespace %s is called %s or holds a store of that name: see kubectl salvor locks -n %s", namespace, name, namespace)
		}
	}
	return out, nil
}

func thawOne(cmd *cobra.Command, c client.WithWatch, m *v1alpha1.StoreMaintenance, alone bool, wait time.Duration) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	if err := c.Delete(ctx, m, client.Preconditions{UID: &m.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete StoreMaintenance %s/%s: %w", m.Namespace, m.Name, err)
	}
	owner, left := controllers.MaintenanceOwner(m), ""
	deadline := time.Now().Add(wait)
	for _, s := range m.Status.Stores {
		var ws v1alpha1.WALStore
		err := c.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: s.Name}, &ws)
		if apierrors.IsNotFound(err) {
			fmt.Fprintf(out, "%s: there is no such WALStore any more; if its root is locked, that ends at %s\n", s.Name, m.Spec.Until.UTC().Format(time.RFC3339))
			continue
		}
		if err != nil {
			return err
		}
		if alone {
			err = thawAlone(ctx, c, &ws, owner)
		} else {
			err = awaitThaw(ctx, c, &ws, owner, time.Until(deadline))
		}
		owed := hooksLeft(ctx, c, m, s.Name)
		if err != nil {
			left = fmt.Sprintf("%s: %v%s", s.Name, err, owed)
			fmt.Fprintln(out, left)
			continue
		}
		fmt.Fprintf(out, "%s: thawed%s\n", s.Name, owed)
	}
	if left != "" {
		return bad("a lock of %s/%s is still there: %s; without the operator: kubectl salvor thaw --without-operator", m.Namespace, m.Name, left)
	}
	return nil
}

// hooksLeft says what the hooks of a maintenance have not undone yet; only the operator
// does that.
func hooksLeft(ctx context.Context, c client.Client, m *v1alpha1.StoreMaintenance, store string) string {
	var run v1alpha1.HookRun
	if c.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: store}, &run) != nil || run.Spec.Maintenance.UID != string(m.UID) {
		return ""
	}
	for _, cond := range run.Status.Conditions {
		if cond.Type == v1alpha1.ConditionUndone && cond.Status != metav1.ConditionTrue {
			return fmt.Sprintf("; its hooks are not undone yet (%s): see kubectl get hookrun %s -n %s", cond.Message, store, m.Namespace)
		}
	}
	return ""
}

// thawAlone releases the lock in the root itself.
func thawAlone(ctx context.Context, c client.Client, ws *v1alpha1.WALStore, owner string) error {
	b, err := controllers.OpenRoot(ctx, c, ws)
	if err != nil {
		return err
	}
	defer b.Close()
	m, err := manifest.Open(ctx, b, manifest.Options{NewID: newID})
	if err != nil {
		return err
	}
	_, err = m.Release(ctx, manifest.Publisher{Role: manifest.RoleOperator, Process: manifest.ProcessID(newID())}, owner)
	var notHeld *manifest.NotHeldError
	if errors.As(err, &notHeld) {
		return nil // the operator was faster, or its time was over
	}
	return err
}

// awaitThaw waits until the operator has seen that no lock of this owner holds the store.
func awaitThaw(ctx context.Context, c client.Client, ws *v1alpha1.WALStore, owner string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, max(within, time.Second))
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := c.Get(ctx, client.ObjectKeyFromObject(ws), ws); client.IgnoreNotFound(err) != nil {
			return err
		} else if err != nil || ws.Status.Lock == nil || ws.Status.Lock.Owner != owner {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s until %s by %s", ws.Status.Lock.Mode, ws.Status.Lock.Until.UTC().Format(time.RFC3339), ws.Status.Lock.Owner)
		}
	}
}
