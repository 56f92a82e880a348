// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/salvor-io/salvor/api/v1alpha1"
)

// completed are the RecoverySidecars of which this process has written that they are
// Complete, and whose cached copy may not say so yet. Whoever is woken in between (by
// the resource's own arrival, by a listing) would recover once more what is gone: that
// changes nothing, and asks eight things of the object store.
type completed struct {
	mu   sync.Mutex
	uids map[types.NamespacedName]types.UID
}

// wrote notes that the resource is Complete.
func (c *completed) wrote(rsc *v1alpha1.RecoverySidecar) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.uids == nil {
		c.uids = map[types.NamespacedName]types.UID{}
	}
	c.uids[nameOf(rsc)] = rsc.UID
}

// behind reports whether the cached copy is older than what was written.
func (c *completed) behind(rsc *v1alpha1.RecoverySidecar) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	uid, wrote := c.uids[nameOf(rsc)]
	if !wrote {
		return false
	}
	if uid == rsc.UID && !holds(rsc.Status.Conditions, cComplete) {
		return true
	}
	delete(c.uids, nameOf(rsc)) // it has caught up, or is another one of that name
	return false
}

// gone forgets a resource that is not there any more.
func (c *completed) gone(name types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.uids, name)
}
