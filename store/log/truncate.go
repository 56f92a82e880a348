// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import "fmt"

// keepSegments are never truncated: the active one and the one before it. They
// are what tells about the recent past when something is not as it should be.
const keepSegments = 2

// Truncatable reports whether Truncate(upTo) would remove anything.
func (l *Log) Truncatable(upTo Position) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removable(upTo) > 0
}

// removable is how many segments, from the oldest, hold nothing above upTo.
func (l *Log) removable(upTo Position) int {
	n := 0
	for n < len(l.segments)-keepSegments && l.segments[n].last <= upTo {
		n++
	}
	return n
}

// Truncate removes the segments that hold nothing above upTo, oldest first, so
// that what is left is always one stretch. What they held must be published, and
// read back. A failure leaves more than necessary and is tried again next time;
// it poisons nothing.
func (l *Log) Truncate(upTo Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.removable(upTo)
	for range n {
		if err := l.fs.Remove(l.segments[0].path); err != nil {
			return fmt.Errorf("truncate log: %w", err)
		}
		l.segments = l.segments[1:]
	}
	if n == 0 {
		return nil
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("truncate log: sync %s: %w", l.dir, err)
	}
	return nil
}
