// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/maintenance/window"
)

// windows are those of a store.
func windows(ws *v1alpha1.WALStore) (out window.Windows) {
	for _, w := range ws.Spec.Windows {
		out = append(out, window.Window{Schedule: w.Schedule, Duration: w.Duration.Duration, TimeZone: w.TimeZone})
	}
	return out
}

// windowStatus is what a status says of them, and when that changes by itself. A window
// that cannot be read keeps all of them shut.
func windowStatus(ws *v1alpha1.WALStore, now time.Time) (st *v1alpha1.WindowStatus, changes time.Time, bad *finding) {
	if len(ws.Spec.Windows) == 0 {
		return nil, time.Time{}, nil
	}
	o, err := windows(ws).At(now)
	if err != nil {
		return &v1alpha1.WindowStatus{}, time.Time{}, found("", v1alpha1.ReasonWindowsInvalid, "spec.windows: %v", err).final()
	}
	at := func(t time.Time) *metav1.Time {
		if t.IsZero() {
			return nil
		}
		return &metav1.Time{Time: t.UTC()}
	}
	st = &v1alpha1.WindowStatus{Open: o.Open, Next: at(o.Next)}
	if changes = o.Next; o.Open {
		st.Until = at(o.Until)
		if o.Until.Before(changes) || changes.IsZero() {
			changes = o.Until
		}
	}
	return st, changes, nil
}
