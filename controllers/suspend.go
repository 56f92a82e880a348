// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// suspended returns the suspension that holds a store; nil: there is none, or its time
// is over. Deletion is not its business: it never asks here.
func suspended(ws *v1alpha1.WALStore, now time.Time) *v1alpha1.Suspension {
	if s := ws.Spec.Suspend; s.Holds(now) {
		return s
	}
	return nil
}

// resumed reports whether a suspension has ended since the last pass: nobody changed
// anything, so nothing else would wake what waits.
func (m *memory) resumed(ws *v1alpha1.WALStore, now time.Time) bool {
	was := m.suspended
	m.suspended = suspended(ws, now) != nil
	return was && !m.suspended
}
