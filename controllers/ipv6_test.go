// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net"
	"testing"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
)

// A pod whose address is of IPv6 is watched, and its death is seen, as any other's.
func TestAPodOnIPv6IsWatched(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no ::1: %v", err)
	}
	must(t, l.Close())
	w := newWorld(t)
	w.store("ledger", 1)
	w.start()
	p := w.podAt("::1", "ledger", 0)
	w.streaming("ledger")
	op, _, _ := p.confirmedCommit("accounts")
	p.kill()
	w.healed(op)
	w.resolved(op, manifest.KindPublish, manifest.RoleRecovery)
	w.oneRow(op, audit.RolledForward)
}
