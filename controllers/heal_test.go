// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"github.com/salvor-io/salvor/test/contract"
)

func TestAKilledWritersConfirmedOperationIsPublished(t *testing.T) {
	contract.Row(t, 130)
	w := newWorld(t)
	w.store("ledger", 1)
	w.start()
	p := w.pod("ledger", 0)
	w.streaming("ledger")
	op, _, _ := p.confirmedCommit("accounts", "transfers")
	p.kill()
	rsc := w.healed(op)
	t.Logf("%+v", rsc.Status)
	_ = rsc
}
