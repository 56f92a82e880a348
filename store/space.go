// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"sync"
	"time"

	"github.com/salvor-io/salvor/control"
	"github.com/salvor-io/salvor/store/log"
)

// spaceEvery is how often the file system is asked what it has.
const spaceEvery = 5 * time.Second

// space is what the file system of the data directory has.
type space struct {
	mu    sync.Mutex
	at    time.Time // of the newest answer
	is    log.Space
	known bool
	// failed: the log has; then is what was free when that was noticed.
	failed bool
	then   int64
}

// disk returns what a status says of the file system; nil when it cannot be asked. The
// answer may be a few seconds old, but for the first one after the log has failed: what
// is free then is what a restart would find again.
func (s *Store) disk(failed bool) (d *control.Disk, then int64) {
	w := &s.space
	w.mu.Lock()
	defer w.mu.Unlock()
	first := failed && !w.failed
	if now := s.opt.Now(); first || w.at.IsZero() || now.Sub(w.at) >= spaceEvery {
		is, err := s.opt.FS.Space(s.opt.Dir)
		w.at, w.is, w.known = now, is, err == nil
	}
	if first {
		w.failed, w.then = true, w.is.Free
	}
	if !w.known {
		return nil, w.then
	}
	// A start copies a segment, and the next one has to find room, too.
	return &control.Disk{Dir: s.opt.Dir, Total: w.is.Total, Free: w.is.Free, Needs: 2 * s.opt.SegmentSize}, w.then
}
