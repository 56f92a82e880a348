// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/audit"
	"github.com/salvor-io/salvor/manifest"
	"github.com/salvor-io/salvor/objstore"
	"github.com/salvor-io/salvor/recovery"
)

// Root is one open root: what every controller works through, for as long as its
// WALStore lives and its Secrets stay as they are.
type Root struct {
	Store types.NamespacedName
	UID   types.UID // of the WALStore
	URI   string

	Bucket    objstore.Bucket
	Manifest  *manifest.Store
	Trail     *audit.Log
	Recoverer *recovery.Recoverer

	// ca: the Secret holds certificates that the store's pods need, too.
	ca bool
	// print of the spec and the Secrets that it was opened with.
	print string
	away  away
	// probeAt is when its promises are to be probed again. Only the store's own
	// reconciler uses it.
	probeAt time.Time
	// doubt: the newest probe did not find that they are kept. Nothing is written
	// to it then; it stays open, so that its writers are watched all the same.
	doubt atomic.Bool
}

// ID is the uid of the store in the root.
func (r *Root) ID() string { return r.Manifest.Identity().UID }

// Roots are the open roots by the uid of their WALStore.
type Roots struct {
	mu   sync.Mutex
	open map[types.UID]*Root
}

// Get returns the open root of a WALStore, nil when there is none.
func (r *Roots) Get(uid types.UID) *Root {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[uid]
}

// put makes root the one of its WALStore and closes the one before.
func (r *Roots) put(root *Root) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[types.UID]*Root{}
	}
	if before := r.open[root.UID]; before != nil && before != root {
		_ = before.Bucket.Close()
	}
	r.open[root.UID] = root
}

// Close closes the root of a WALStore. Whoever still works on it gets to finish:
// a closed bucket only gives its idle connections back.
func (r *Roots) Close(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if root := r.open[uid]; root != nil {
		_ = root.Bucket.Close()
		delete(r.open, uid)
	}
}

// awayAfter is how many failures in a row, of whichever operations, mean that the
// object store itself does not answer.
const awayAfter = 3

// away tells an object store that does not answer from an operation that fails:
// while it is away, one caller asks it again and again instead of thousands.
type away struct {
	mu     sync.Mutex
	failed int
	since  time.Time
	err    error
}

// note takes the result of work on the root. It reports whether the root has just
// gone away.
func (a *away) note(err error, now time.Time) (gone bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !isAway(err) {
		a.failed, a.err = 0, nil
		return false
	}
	a.failed++
	if a.failed != awayAfter {
		return false
	}
	a.since, a.err = now, err
	return true
}

// is returns why the root is away, nil when it is not.
func (a *away) is() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}
