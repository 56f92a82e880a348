// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package logtest

import (
	"errors"
	"strings"
)

// handle is an open file.
type handle struct {
	fs   *FS
	path string
	node *node
}

// Write implements log.File.
func (h *handle) Write(b []byte) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.begin(Write, h.path); err != nil {
		if errors.Is(err, ErrDied) {
			return 0, err
		}
		h.node.data = append(h.node.data, b[:len(b)/2]...)
		return len(b) / 2, err
	}
	if h.fs.budget >= 0 && len(b) > h.fs.budget {
		n := h.fs.budget
		h.node.data = append(h.node.data, b[:n]...)
		h.fs.budget, h.fs.dead = 0, true
		return n, ErrDied
	}
	if h.fs.budget >= 0 {
		h.fs.budget -= len(b)
	}
	h.node.data = append(h.node.data, b...)
	return len(b), nil
}

// Sync implements log.File.
func (h *handle) Sync() error {
	h.fs.mu.Lock()
	hold := h.fs.hold
	h.fs.mu.Unlock()
	if hold != nil && !strings.HasSuffix(h.path, ".json.tmp") {
		hold.once.Do(func() { close(hold.arrived) })
		<-hold.released
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.begin(Sync, h.path); err != nil {
		return err
	}
	h.node.synced = len(h.node.data)
	return nil
}

// Close implements log.File.
func (h *handle) Close() error { return nil }
