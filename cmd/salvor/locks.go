// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/controllers"
)

// exitFrozen: looked, and a store is held.
const exitFrozen = 11

// lock is one write lock, as the operator saw it last.
type lock struct {
	Namespace string    `json:"namespace"`
	Store     string    `json:"store"`
	Mode      string    `json:"mode"`
	Owner     string    `json:"owner"`
	AskedBy   string    `json:"askedBy,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
	Version   int64     `json:"version"`
	// Over: its time is over; whoever publishes next ends it.
	Over bool `json:"over,omitempty"`
}

func newLocksCommand() *cobra.Command {
	f := &clusterFlags{}
	var all bool
	var output string
	cmd := &cobra.Command{
		Use:   "locks",
		Short: "List the write locks that hold stores",
		Long: `Lists who holds which store, since when, and until when at the latest. The lock in
the root is the truth (salvor manifest show); this is what the operator saw last.

Exit codes: 0 no store is held; 11 some are; 2 it could not be looked at.`,
		Example: `  kubectl salvor locks -A
  kubectl salvor locks -n shop -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, namespace, err := f.open()
			if err != nil {
				return err
			}
			var l v1alpha1.WALStoreList
			opts := []client.ListOption{client.InNamespace(namespace)}
			if all {
				opts = nil
			}
			if err := c.List(cmd.Context(), &l, opts...); err != nil {
				return err
			}
			var maintenances v1alpha1.StoreMaintenanceList
			if err := c.List(cmd.Context(), &maintenances, opts...); err != nil {
				return err
			}
			found, now := []lock{}, time.Now()
			for i := range l.Items {
				ws := &l.Items[i]
				if s := ws.Status.Lock; s != nil {
					found = append(found, lock{
						Namespace: ws.Namespace, Store: ws.Name, Mode: s.Mode, Owner: s.Owner, AskedBy: askedBy(maintenances.Items, ws.Namespace, s.Owner),
						Reason: s.Reason, Since: s.Since.UTC(), Until: s.Until.UTC(), Version: s.Version, Over: !now.Before(s.Until.Time),
					})
				}
			}
			if err := (&rootFlags{output: output}).print(cmd.OutOrStdout(), found, func(w io.Writer) { tellLocks(w, found) }); err != nil {
				return err
			}
			if len(found) > 0 {
				return &exitError{exitFrozen, fmt.Errorf("%d of %d stores are held", len(found), len(l.Items))}
			}
			return nil
		},
	}
	f.addTo(cmd)
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "of all namespaces")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// askedBy is who asked for the StoreMaintenance that owns a lock; empty when it is gone.
func askedBy(all []v1alpha1.StoreMaintenance, namespace, owner string) string {
	for i := range all {
		if m := &all[i]; m.Namespace == namespace && controllers.MaintenanceOwner(m) == owner {
			return m.Annotations[v1alpha1.AnnotationAskedBy]
		}
	}
	return ""
}

func tellLocks(w io.Writer, all []lock) {
	if len(all) == 0 {
		fmt.Fprintln(w, "no store is held")
		return
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NAMESPACE\tSTORE\tMODE\tUNTIL\tASKED BY\tOWNER\tREASON")
	for _, l := range all {
		until := l.Until.Format(time.RFC3339)
		if l.Over {
			until += " (over)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Namespace, l.Store, l.Mode, until, orDash(l.AskedBy), l.Owner, l.Reason)
	}
	_ = t.Flush() // the writer's own errors come again at the next write
}
