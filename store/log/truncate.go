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
	return l.removable(upTo)
}

// removable reports whether the oldest segment holds nothing above upTo. Under mu.
func (l *Log) removable(upTo Position) bool {
	return len(l.segments) > keepSegments && l.segments[0].last <= upTo
}

// Truncate removes the segments that hold nothing above upTo, oldest first, each for
// good before the next, so that what is left is always one stretch. What they held must
// be published, and read back. A failure leaves more than necessary and is tried again
// next time; it poisons nothing. Nobody who appends waits for it.
func (l *Log) Truncate(upTo Position) error {
	l.truncating.Lock()
	defer l.truncating.Unlock()
	for {
		if l.unsyncedNames {
			if err := l.fs.SyncDir(l.dir); err != nil {
				return fmt.Errorf("truncate log: sync %s: %w", l.dir, err)
			}
			l.unsyncedNames = false
		}
		path, spare, err := l.oldest(upTo)
		if err != nil || path == "" {
			return err
		}
		if err := l.remove(path, spare); err != nil {
			return fmt.Errorf("truncate log: %w", err)
		}
	}
}

// oldest returns the path of the segment that goes next, empty when none does, and the
// name under which it is kept for another one, if it is. Under truncating, without which
// no segment goes.
func (l *Log) oldest(upTo Position) (path, spare string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.err(); err != nil || !l.removable(upTo) {
		return "", "", err
	}
	path = l.segments[0].path
	if len(l.spares) >= l.opt.Spares || l.segments[0].version == 1 {
		return path, "", nil
	}
	l.mu.Unlock() // nobody who appends waits while the file is looked at
	long := l.long(path)
	l.mu.Lock()
	if long {
		spare = l.newSpare()
	}
	return path, spare, nil
}

// remove takes the oldest segment out of the log, for good. A spare is used by nobody
// before the disk has forgotten its old name.
func (l *Log) remove(path, spare string) (err error) {
	if spare != "" {
		err = l.fs.Rename(path, spare)
	} else {
		err = l.fs.Remove(path)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.segments = l.segments[1:]
	l.mu.Unlock()
	l.unsyncedNames = true
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync %s: %w", l.dir, err)
	}
	l.unsyncedNames = false
	if spare != "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.spares = append(l.spares, spare)
	}
	return nil
}
