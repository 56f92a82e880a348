// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package logtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// sector is what the disk writes in one piece, or in part when the power goes, in bytes.
const sector = 64

// node is a file: what the operating system has of it, and what the disk has.
type node struct {
	data, disk []byte
	// dirty are the sectors of data that may not be on the disk.
	dirty map[int]bool
}

func (n *node) clone() *node {
	c := &node{data: bytes.Clone(n.data), disk: bytes.Clone(n.disk), dirty: map[int]bool{}}
	for s := range n.dirty {
		c.dirty[s] = true
	}
	return c
}

func (n *node) write(b []byte, off int) {
	if len(b) == 0 {
		return
	}
	if grow := off + len(b) - len(n.data); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
	}
	copy(n.data[off:], b)
	if n.dirty == nil {
		n.dirty = map[int]bool{}
	}
	for s := off / sector; s*sector < off+len(b); s++ {
		n.dirty[s] = true
	}
}

func (n *node) sync() {
	for s := range n.dirty {
		from, to := s*sector, min((s+1)*sector, len(n.data))
		if grow := to - len(n.disk); grow > 0 {
			n.disk = append(n.disk, make([]byte, grow)...)
		}
		copy(n.disk[from:to], n.data[from:to])
	}
	n.dirty = nil
}

// afterPowerLoss is what the disk has: every sector that was not synced may be new, old
// or torn, each by itself, and the file as long as it was or as it is.
func (n *node) afterPowerLoss(pick func(int) int) []byte {
	out := make([]byte, len(n.disk)+pick(len(n.data)-len(n.disk)))
	copy(out, n.disk)
	for s := 0; s*sector < len(out); s++ {
		if n.dirty[s] {
			now := n.data[s*sector : min((s+1)*sector, len(out))]
			copy(out[s*sector:], now[:pick(len(now))])
		}
	}
	return out
}

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
	return h.write(b, len(h.node.data))
}

// WriteAt implements log.Blocks.
func (h *handle) WriteAt(b []byte, off int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	return h.write(b, int(off))
}

func (h *handle) write(b []byte, off int) (int, error) {
	if err := h.fs.begin(Write, h.path); err != nil {
		if errors.Is(err, ErrDied) {
			return 0, err
		}
		h.node.write(b[:len(b)/2], off)
		if errors.Is(err, ErrShort) {
			err = nil
		}
		return len(b) / 2, err
	}
	if grow := off + len(b) - len(h.node.data); h.fs.size > 0 && grow > 0 && h.fs.used()+grow > h.fs.size {
		n := min(max(0, len(b)-grow+max(0, h.fs.size-h.fs.used())), len(b))
		h.node.write(b[:n], off)
		return n, fmt.Errorf("write %s: %w", h.path, syscall.ENOSPC)
	}
	if h.fs.budget >= 0 && len(b) > h.fs.budget {
		n := h.fs.budget
		h.node.write(b[:n], off)
		h.fs.budget, h.fs.dead = 0, true
		return n, ErrDied
	}
	if h.fs.budget >= 0 {
		h.fs.budget -= len(b)
	}
	h.node.write(b, off)
	return len(b), nil
}

// Sync implements log.File and log.Blocks.
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
	if h.fs.lies != nil && h.fs.lies() {
		h.node.dirty = nil // as a kernel that could not write them, and says so to nobody
		return nil
	}
	h.node.sync()
	return nil
}

// Close implements log.File and log.Blocks.
func (h *handle) Close() error { return nil }

// opened is a file that is read, as it is at the moment of each call: who has it open
// keeps it when its name is gone, and sees what is written to it.
type opened struct {
	fs   *FS
	node *node
	at   int64
}

// Read implements io.Reader.
func (o *opened) Read(b []byte) (int, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	if o.at >= int64(len(o.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, o.node.data[o.at:])
	o.at += int64(n)
	return n, nil
}

// Seek implements io.Seeker, from the start.
func (o *opened) Seek(at int64, _ int) (int64, error) {
	o.fs.mu.Lock()
	defer o.fs.mu.Unlock()
	o.at = at
	return at, nil
}

// Close implements io.Closer.
func (o *opened) Close() error { return nil }
