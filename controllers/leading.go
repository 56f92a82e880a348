// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Leading asks the API server whether the Lease is still held by who asks, and not
// over. A Lease only elects: a holder that slept through its end may still believe in
// it, so it is asked anew, and what fences is the epoch in the store's manifest.
func Leading(lease resourcelock.Interface, now func() time.Time) func(context.Context) error {
	return func(ctx context.Context) error {
		r, _, err := lease.Get(ctx)
		if err != nil {
			return fmt.Errorf("read the Lease %s: %w", lease.Describe(), err)
		}
		switch over := r.RenewTime.Add(time.Duration(r.LeaseDurationSeconds) * time.Second); {
		case r.HolderIdentity != lease.Identity():
			return fmt.Errorf("the Lease %s is held by %q, not by %q", lease.Describe(), r.HolderIdentity, lease.Identity())
		case !now().Before(over):
			return fmt.Errorf("the Lease %s was over at %s", lease.Describe(), over.UTC().Format(time.RFC3339))
		}
		return nil
	}
}
