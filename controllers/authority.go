// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"github.com/salvor-io/salvor/api/v1alpha1"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
	"github.com/salvor-io/salvor/recovery/commitlog"
)

// formats are the table formats with readers of their own that this operator can undo.
func formats(b objstore.Bucket) map[recovery.WriterKind]recovery.Format {
	return map[recovery.WriterKind]recovery.Format{recovery.KindForeign: commitlog.New(b, objstore.Patience{})}
}

// authority is what one pass may do: what detect lets it do to the writer, and what
// the store lets be undone. It is the only place where an operator comes by more
// than to go forward, and it is pure.
//
// closed: no window of the store is open. An automatic roll-back waits for one; what
// somebody has approved does not.
func authority(policy v1alpha1.RecoveryPolicy, closed bool, approval *v1alpha1.Approval, forward recovery.RollForwardOnly, leads func(context.Context) error) recovery.Authority {
	var a recovery.Authority = forward
	if policy.RollBack != v1alpha1.RollBackNever {
		ex := recovery.Exclusive{Forward: forward, Check: leads, Policy: recovery.OnApproval}
		if policy.RollBack == v1alpha1.RollBackAutomatic && !closed {
			ex.Policy = recovery.Automatic
		}
		if approval != nil {
			ex.Approved, ex.Approver = recovery.PlanHash(approval.PlanHash), approval.Approver
		}
		a = ex
	}
	if policy.Mode == v1alpha1.RecoveryPlan {
		return recovery.Probe{As: a}
	}
	return a
}
