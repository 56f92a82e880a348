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
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/controllers"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
)

// awaitHeld watches a StoreMaintenance until it is held or over, telling what it waits for.
func awaitHeld(cmd *cobra.Command, c client.WithWatch, m *v1alpha1.StoreMaintenance, within time.Duration) (frozen, error) {
	w, err := c.Watch(cmd.Context(), &v1alpha1.StoreMaintenanceList{}, client.InNamespace(m.Namespace),
		client.MatchingLabelsSelector{Selector: labels.SelectorFromSet(m.Labels)})
	if err != nil {
		return frozen{}, err
	}
	defer w.Stop()
	over := time.NewTimer(max(within, 0))
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

// toldWithin is how long the stores' own status may be behind: it is written once a second.
const toldWithin = 3 * time.Second

// awaitTold waits until the stores that are held say so, too, so that who asks them next
// is not told of a drain that is over.
func awaitTold(ctx context.Context, c client.Client, want []*v1alpha1.StoreMaintenance, results []frozen) {
	ctx, cancel := context.WithTimeout(ctx, toldWithin)
	defer cancel()
	for i, m := range want {
		for _, store := range results[i].Stores {
			for results[i].Held {
				var ws v1alpha1.WALStore
				err := c.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: store}, &ws)
				if l := ws.Status.Lock; err != nil || l != nil && (l.Mode == string(manifest.Frozen) || l.Owner != controllers.MaintenanceOwner(m)) {
					break
				}
				if objstore.Sleep(ctx, 50*time.Millisecond) != nil {
					return
				}
			}
		}
	}
}

func frozenOf(m *v1alpha1.StoreMaintenance) frozen {
	f := frozen{Namespace: m.Namespace, Name: m.Name, Until: m.Spec.Until.UTC(), Freeze: m.Labels[v1alpha1.LabelFreeze]}
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

func tellFrozen(w io.Writer, all []frozen, made bool) {
	for _, f := range all {
		fmt.Fprintf(w, "%s/%s  held=%t  until %s  %s\n", f.Namespace, f.Name, f.Held, f.Until.Format(time.RFC3339), strings.Join(f.Stores, ", "))
	}
	if made && len(all) > 1 {
		fmt.Fprintf(w, "to thaw all of it: kubectl salvor thaw --freeze %s\n", all[0].Freeze)
	}
}
