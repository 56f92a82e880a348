// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package log

import (
	"fmt"
	"time"
)

// modes are the words for the sync modes.
var modes = [...]string{SyncCommit: "commit", SyncInterval: "interval", SyncNone: "none"}

// ParseSyncMode returns the mode that a word names: commit, interval or none.
func ParseSyncMode(word string) (SyncMode, error) {
	for m, w := range modes {
		if w == word {
			return SyncMode(m), nil
		}
	}
	return SyncCommit, fmt.Errorf("sync mode %q: want commit, interval or none", word)
}

// String is the word for a mode.
func (m SyncMode) String() string {
	if m < SyncCommit || m > SyncNone {
		return fmt.Sprintf("SyncMode(%d)", int(m))
	}
	return modes[m]
}

// MarshalText implements encoding.TextMarshaler.
func (m SyncMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *SyncMode) UnmarshalText(word []byte) (err error) {
	*m, err = ParseSyncMode(string(word))
	return err
}

// Loses says, for people, what somebody who was told loses, and by what.
func (m SyncMode) Loses(interval time.Duration) string {
	switch m {
	case SyncCommit:
		return "neither a crash of the process nor a power cut loses anything that was answered"
	case SyncInterval:
		return fmt.Sprintf("a crash of the process loses nothing; a power cut, or a crash of the node, at most what was answered within %s", interval)
	default:
		return "a crash of the process loses nothing; a power cut, or a crash of the node, everything that was answered since the last sync: " +
			"of a full segment, for a checkpoint, under a write lock, or on request"
	}
}
