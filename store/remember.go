// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/salvor-io/salvor/store/log"

// remembered is what is known of a transaction by its client's id.
type remembered struct {
	digest   string
	position log.Position
	// ticket is nil when the record was read back from the log: it is durable.
	ticket *log.Ticket
}

// memory remembers the newest transactions that had an id, a bounded number of
// them. It is guarded by Store.order.
type memory struct {
	byID map[string]remembered
	ring []string // ids in the order in which they came; the oldest at next
	next int
}

func newMemory(size int) *memory {
	return &memory{byID: map[string]remembered{}, ring: make([]string, size)}
}

func (m *memory) find(id string) (remembered, bool) {
	r, ok := m.byID[id]
	return r, ok && id != ""
}

func (m *memory) add(id string, r remembered) {
	if id == "" {
		return
	}
	if _, again := m.byID[id]; !again { // one that came again after it was forgotten may be replayed twice
		delete(m.byID, m.ring[m.next])
		m.ring[m.next] = id
		m.next = (m.next + 1) % len(m.ring)
	}
	m.byID[id] = r
}
