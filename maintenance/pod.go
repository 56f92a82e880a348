// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package maintenance

import (
	"fmt"
	"strings"

	"github.com/salvor-io/salvor/manifest"
)

// Pod is what is known of one writer of a store.
type Pod struct {
	// Name of the writer, and of its pod.
	Name string
	// Epoch that the manifest has registered for it; an epoch without a process is one
	// that was ended: the writer is gone until it registers again.
	Epoch manifest.Epoch
	// Dead: nothing runs that could write, as far as the cluster knows. Its epoch may
	// be ended, so that it is known for certain.
	Dead bool
	// Fresh: it has started so recently that nobody expects a word of it yet.
	Fresh bool
	// Word is the last that its process said; nil when it says nothing.
	Word *Word
}

// Word is what a store process says of itself (package control).
type Word struct {
	Process  manifest.ProcessID
	Epoch    uint64
	Manifest manifest.Version
	// Lock is the owner of the lock that it heeds.
	Lock string
	// InFlight are transactions that may write; Open operations on their way.
	InFlight int
	Open     []string
	// Durable is the newest position of its log that is safe, Published the newest
	// that the root covers.
	Durable, Published uint64
	// Written is the newest position that was answered and is not safe yet; 0: none.
	Written uint64
}

// Standing is where one pod is in the handshake.
type Standing struct {
	Name         string
	Acknowledged bool
	// Gone: it counts as drained because its epoch has ended, or because it died while
	// the store was held.
	Gone bool
	// Durable and Published are those of its word; 0 without one.
	Durable, Published uint64
	// Starts: it has just started, and has said nothing yet.
	Starts bool
	// WaitsFor says, for people, what is missing. Empty when it has acknowledged.
	WaitsFor string
	// fence: its epoch may be ended.
	fence bool
}

// stand says whether a pod has drained under a lock. It has when nothing that
// writes is under way and nothing that does can begin: its process heeds this very
// lock. One whose epoch is over has, too: whatever it still does, nobody will see.
//
// Where the freeze has hooks, they have to have run, too. A pod that says nothing and
// that the manifest has never registered writes no root: only they quiesce it.
func stand(p Pod, l *manifest.Lock, hooks *Hooked) Standing {
	s := Standing{Name: p.Name}
	if w := p.Word; w != nil {
		s.Durable, s.Published = w.Durable, w.Published
	}
	switch w := p.Word; {
	case p.Dead && p.Epoch.Process == "":
		s.Gone = true
	case p.Dead:
		s.fence = true
		s.WaitsFor = "its pod is gone, and its epoch has not ended yet"
	case w == nil && hooks != nil && p.Epoch == (manifest.Epoch{}):
	case w == nil && p.Fresh:
		s.Starts, s.WaitsFor = true, "its pod starts"
	case w == nil:
		s.WaitsFor = "its pod does not report"
	case w.Process != p.Epoch.Process || w.Epoch != p.Epoch.Number:
		s.WaitsFor = "its process is not the one that the manifest has registered"
	case w.Manifest < l.Version || w.Lock != l.Owner:
		s.WaitsFor = fmt.Sprintf("it has not heeded the lock yet: it has read the manifest up to version %d, the lock is at %d", w.Manifest, l.Version)
	case w.InFlight > 0:
		s.WaitsFor = fmt.Sprintf("%d transactions in flight", w.InFlight)
	case len(w.Open) > 0:
		s.WaitsFor = "operations on their way: " + strings.Join(w.Open, ", ")
	case w.Written > max(w.Durable, w.Published):
		s.WaitsFor = fmt.Sprintf("its log has not synced positions %d to %d, which were answered", w.Durable+1, w.Written)
	}
	if why, ok := hooks.standing(p.Name); !ok && !p.Dead && s.WaitsFor == "" {
		s.WaitsFor = why
	}
	s.Acknowledged = s.WaitsFor == ""
	return s
}
